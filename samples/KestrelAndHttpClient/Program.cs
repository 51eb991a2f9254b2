using System.Net;
using Penstock;

var cable = new VirtualCable(new CableOptions { Delay = TimeSpan.FromMilliseconds(20), Loss = 0.02 });
await using var client = new NetworkStack(new NetworkStackOptions { Name = "client" });
await using var server = new NetworkStack(new NetworkStackOptions { Name = "server" });
client.AddInterface(cable.A, InterfaceAddress.Parse("10.1.0.1/24"));
server.AddInterface(cable.B, InterfaceAddress.Parse("10.1.0.2/24"));

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(args);
builder.Logging.ClearProviders();
builder.WebHost.UsePenstock(server).UseUrls("http://*:80");
await using WebApplication app = builder.Build();
app.MapGet("/", () => "Hello from a stack of my own.");
await app.StartAsync();

client.Hosts.Add("server", IPAddress.Parse("10.1.0.2"));
using var http = new HttpClient(client.CreateHttpHandler());
Console.WriteLine(await http.GetStringAsync("http://server/"));
foreach (TcpInfo connection in client.GetConnections())
{
    Console.WriteLine($"{connection.State} {connection.Local} to {connection.Remote}: round trip {connection.RoundTripTime.TotalMilliseconds:0.0} ms, cwnd {connection.CongestionWindow}");
}

await app.StopAsync();
