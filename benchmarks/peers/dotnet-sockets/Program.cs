// System.Net.Sockets as a peer: what a .NET program uses when it has no stack of its own.
//   Sockets server [ADDRESS]               sink 9001, source 9002, echo 9003, for the client of ../kernel-client; until it is killed
//   Sockets bulk|rr|crr [SECONDS]          both ends in this process over the loopback, as 'penstock perf pipe' does; prints one line of JSON
using System.Globalization;
using System.Net;
using Penstock.Benchmarks.Sockets;

string verb = args.Length > 0 ? args[0] : "";
double seconds = args.Length > 1 && double.TryParse(args[1], CultureInfo.InvariantCulture, out double given) ? given : 1;
switch (verb)
{
    case "server":
        await Server.RunAsync(args.Length > 1 ? IPAddress.Parse(args[1]) : IPAddress.Any);
        return 0;
    case "bulk":
        Print(verb, "gbit_s", await Loopback.BulkAsync(seconds));
        return 0;
    case "rr":
        Print(verb, "rt_s", await Loopback.RoundTripsAsync(seconds));
        return 0;
    case "crr":
        Print(verb, "conn_s", await Loopback.ConnectAsync(seconds));
        return 0;
    default:
        await Console.Error.WriteLineAsync("usage: Sockets server [ADDRESS] | bulk|rr|crr [SECONDS]");
        return 2;
}

static void Print(string test, string what, double value) =>
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{{\"tool\":\"sockets\",\"version\":\"{Environment.Version}\",\"test\":\"{test}\",\"{what}\":{value:0.####}}}"));
