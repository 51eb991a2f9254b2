using System.Net;
using System.Text;
using Penstock;

var cable = new VirtualCable(new CableOptions { Delay = TimeSpan.FromMilliseconds(20), Loss = 0.02 });
await using var client = new NetworkStack(new NetworkStackOptions { Name = "client" });
await using var server = new NetworkStack(new NetworkStackOptions { Name = "server" });
client.AddInterface(cable.A, InterfaceAddress.Parse("10.1.0.1/24"));
server.AddInterface(cable.B, InterfaceAddress.Parse("10.1.0.2/24"));

await using TcpSocketListener listener = server.ListenTcp(new IPEndPoint(IPAddress.Any, 7));
await using TcpSocket near = await client.ConnectTcpAsync(new IPEndPoint(IPAddress.Parse("10.1.0.2"), 7));
await using TcpSocket far = await listener.AcceptAsync();

await near.SendAsync(Encoding.UTF8.GetBytes("hello over 20 ms and 2 % loss"));
byte[] buffer = new byte[100];
int received = await far.ReceiveAsync(buffer);
Console.WriteLine($"{Encoding.UTF8.GetString(buffer, 0, received)}; round trip {near.GetInfo().RoundTripTime.TotalMilliseconds:0.0} ms");
