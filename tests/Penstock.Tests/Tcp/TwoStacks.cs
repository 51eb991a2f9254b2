using System.Net;
using Penstock.Ip;
using Penstock.Tcp;
using Penstock.Time;

namespace Penstock.Tests.Tcp;

/// <summary>Two stacks joined by a cable under one virtual clock, with the leak and identity check that every test ends with.</summary>
public sealed class TwoStacks
{
    internal VirtualTime Time { get; } = new();

    public NetworkStack Client { get; }

    public NetworkStack Server { get; }

    public VirtualCable Cable { get; }

    public static readonly IPEndPoint ServerAddress = new(IPAddress.Parse("10.1.0.2"), 80);

    public TwoStacks(CableOptions? options = null, ulong seed = 1, Func<Link, Link>? decorateClient = null)
    {
        Cable = new VirtualCable(options ?? new CableOptions());
        Client = new NetworkStack(new NetworkStackOptions { Name = "client", Driver = Time, Seed = seed });
        Server = new NetworkStack(new NetworkStackOptions { Name = "server", Driver = Time, Seed = seed + 1000 });
        Client.AddInterface(decorateClient is null ? Cable.A : decorateClient(Cable.A), InterfaceAddress.Parse("10.1.0.1/24"));
        Server.AddInterface(Cable.B, InterfaceAddress.Parse("10.1.0.2/24"));
    }

    public async Task<(TcpSocket Client, TcpSocket Server)> ConnectAsync(TcpConnectOptions? options = null, TcpListenOptions? listen = null)
    {
        await using TcpSocketListener listener = Server.ListenTcp(listen ?? new TcpListenOptions(ServerAddress));
        ValueTask<TcpSocket> connecting = Client.ConnectTcpAsync(ServerAddress, options);
        TcpSocket accepted = await listener.AcceptAsync();
        return (await connecting, accepted);
    }

    /// <summary>Runs a body and then checks that nothing is left of it.</summary>
    public void Run(Func<Task> body, TimeSpan? limit = null)
    {
        try
        {
            Time.Run(
                async () =>
                {
                    await body();
                    CheckInvariants();
                    await Client.DisposeAsync();
                    await Server.DisposeAsync();
                },
                limit ?? TimeSpan.FromHours(4));
        }
        catch (TimeoutException late)
        {
            // What hangs, and in which state, is what one wants to know first.
            throw new TimeoutException(
                late.Message + Environment.NewLine + string.Join(Environment.NewLine, Client.GetConnections().Concat(Server.GetConnections())), late);
        }

        AssertClean(Client);
        AssertClean(Server);
    }

    /// <summary>Waits for all, but not for the rest once one has failed: the others may wait for it for ever.</summary>
    public static async Task AllAsync(params Task[] tasks)
    {
        var left = new List<Task>(tasks);
        while (left.Count > 0)
        {
            Task done = await Task.WhenAny(left);
            await done;
            left.Remove(done);
        }
    }

    public void CheckInvariants()
    {
        foreach (NetworkStack stack in (NetworkStack[])[Client, Server])
        {
            foreach (FlowEntry entry in stack.Tcp.Flows.Snapshot())
            {
                if (entry is TcpConnection connection)
                {
                    Assert.Null(connection.VerifyInvariants());
                }
            }
        }
    }

    private static void AssertClean(NetworkStack stack)
    {
        Assert.Equal(0, stack.Pool.RentedBuffers);
        Assert.Equal(0, stack.Pool.RentedSlabs);
        Assert.Equal(0, stack.Tcp.Memory.AllocatedPages);
        Assert.Equal(0, stack.Tcp.Memory.Sockets);
        Assert.Equal(0, stack.Tcp.Orphans);
        Assert.Equal(0, stack.GetCounter(StackCounter.TcpCurrEstab));
    }
}
