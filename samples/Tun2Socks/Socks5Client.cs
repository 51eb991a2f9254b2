using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Tun2Socks;

/// <summary>
/// Opens TCP connections through a SOCKS5 proxy (RFC 1928), with a user name and password if it wants them (RFC 1929). What the proxy answers is checked byte for byte, and never read beyond: the first byte
/// behind the last reply is the destination's. Thread-safe.
/// </summary>
/// <param name="proxy">Where the proxy listens.</param>
/// <param name="credential">User name and password, 1 to 255 bytes each in UTF-8; null offers none.</param>
/// <param name="timeout">How long a connection may take until the proxy says that it stands.</param>
internal sealed class Socks5Client(IPEndPoint proxy, NetworkCredential? credential, TimeSpan timeout)
{
    private const byte Version = 5;
    private const byte NoAuthentication = 0;
    private const byte UserNamePassword = 2;
    private const byte NoneAcceptable = 255;
    private const byte Connect = 1;
    private const byte IPv4 = 1, DomainName = 3, IPv6 = 4;

    public IPEndPoint Proxy => proxy;

    /// <summary>Connects to <paramref name="destination"/> by way of the proxy.</summary>
    /// <exception cref="Socks5Exception">The proxy cannot be reached, does not answer in time, does not speak SOCKS5, or refuses.</exception>
    /// <exception cref="OperationCanceledException">Canceled.</exception>
    public Task<Socket> ConnectAsync(IPEndPoint destination, CancellationToken cancel) => OpenAsync(
        async (socket, limit) =>
        {
            await NegotiateAsync(socket, limit);
            await RequestAsync(socket, destination, limit);
        },
        cancel);

    /// <summary>Finds out whether the proxy is there and lets us in, without asking it for anything.</summary>
    /// <exception cref="Socks5Exception">As <see cref="ConnectAsync"/>.</exception>
    public async Task ProbeAsync(CancellationToken cancel)
    {
        using Socket socket = await OpenAsync(NegotiateAsync, cancel);
    }

    private async Task<Socket> OpenAsync(Func<Socket, CancellationToken, Task> greet, CancellationToken cancel)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limit.CancelAfter(timeout);
        Socket? socket = null;
        try
        {
            socket = new Socket(proxy.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await socket.ConnectAsync(proxy, limit.Token);
            await greet(socket, limit.Token);
            return socket;
        }
        catch (Exception failure)
        {
            socket?.Dispose();
            cancel.ThrowIfCancellationRequested();
            throw failure switch
            {
                OperationCanceledException => new Socks5Exception($"the proxy {proxy} did not answer within {timeout.TotalSeconds:0.#} s", failure),
                SocketException { SocketErrorCode: SocketError.ConnectionRefused } => new Socks5Exception($"nobody listens at {proxy}: connection refused", failure),
                EndOfStreamException or SocketException { SocketErrorCode: SocketError.ConnectionReset or SocketError.Shutdown } => new Socks5Exception($"the proxy {proxy} closed the connection instead of answering", failure),
                SocketException error => new Socks5Exception($"the proxy {proxy} cannot be reached: {error.Message}", failure),
                _ => failure,
            };
        }
    }

    /// <summary>RFC 1928 section 3: agrees on a method, and RFC 1929 if that is the method.</summary>
    private async Task NegotiateAsync(Socket socket, CancellationToken cancel)
    {
        byte[] methods = credential is null ? [NoAuthentication] : [NoAuthentication, UserNamePassword];
        await SendAsync(socket, [Version, (byte)methods.Length, .. methods], cancel);
        byte[] choice = await ReadAsync(socket, 2, cancel);
        CheckVersion(choice[0], Version);
        if (choice[1] == NoneAcceptable)
        {
            throw new Socks5Exception(credential is null
                ? $"the proxy {proxy} wants a user name and password: add --user and --password"
                : $"the proxy {proxy} accepts neither a password nor none");
        }

        if (!methods.Contains(choice[1]))
        {
            throw new Socks5Exception($"the proxy {proxy} chose method {choice[1]}, which was not offered");
        }

        if (choice[1] == UserNamePassword)
        {
            byte[] user = Encoding.UTF8.GetBytes(credential!.UserName);
            byte[] password = Encoding.UTF8.GetBytes(credential.Password);
            await SendAsync(socket, [1, (byte)user.Length, .. user, (byte)password.Length, .. password], cancel);
            byte[] verdict = await ReadAsync(socket, 2, cancel);
            CheckVersion(verdict[0], 1);
            if (verdict[1] != 0)
            {
                throw new Socks5Exception($"the proxy {proxy} does not know the user '{credential.UserName}' with this password");
            }
        }
    }

    /// <summary>RFC 1928 sections 4 and 6: asks for the connection.</summary>
    private async Task RequestAsync(Socket socket, IPEndPoint destination, CancellationToken cancel)
    {
        byte[] address = destination.Address.GetAddressBytes();
        byte[] port = new byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(port, (ushort)destination.Port);
        await SendAsync(socket, [Version, Connect, 0, address.Length == 4 ? IPv4 : IPv6, .. address, .. port], cancel);
        byte[] reply = await ReadAsync(socket, 4, cancel);
        CheckVersion(reply[0], Version);
        if (reply[1] != (byte)Socks5Reply.Succeeded)
        {
            throw new Socks5Exception((Socks5Reply)reply[1], destination);
        }

        // Where the proxy connects from. Nobody here wants to know, but it has to be out of the way.
        int bound = reply[3] switch
        {
            IPv4 => 4,
            IPv6 => 16,
            DomainName => (await ReadAsync(socket, 1, cancel))[0],
            _ => throw new Socks5Exception($"the proxy {proxy} answered with an address of type {reply[3]}, which does not exist"),
        };
        await ReadAsync(socket, bound + 2, cancel);
    }

    private void CheckVersion(byte is_, byte should)
    {
        if (is_ != should)
        {
            throw new Socks5Exception($"what listens at {proxy} does not speak SOCKS5: it answered with byte {is_} instead of {should}");
        }
    }

    private static async Task SendAsync(Socket socket, byte[] bytes, CancellationToken cancel)
    {
        for (int sent = 0; sent < bytes.Length;)
        {
            sent += await socket.SendAsync(bytes.AsMemory(sent), cancel);
        }
    }

    private static async Task<byte[]> ReadAsync(Socket socket, int count, CancellationToken cancel)
    {
        byte[] bytes = new byte[count];
        for (int read = 0; read < count;)
        {
            int now = await socket.ReceiveAsync(bytes.AsMemory(read), cancel);
            read += now > 0 ? now : throw new EndOfStreamException();
        }

        return bytes;
    }
}

/// <summary>What a proxy answers to a request (RFC 1928 section 6).</summary>
internal enum Socks5Reply : byte
{
    Succeeded = 0,
    GeneralFailure = 1,
    NotAllowed = 2,
    NetworkUnreachable = 3,
    HostUnreachable = 4,
    ConnectionRefused = 5,
    TimeToLiveExpired = 6,
    CommandNotSupported = 7,
    AddressTypeNotSupported = 8,
}

/// <summary>A connection through a proxy that did not come about.</summary>
internal sealed class Socks5Exception : IOException
{
    public Socks5Exception(string message, Exception? inner = null)
        : base(message, inner)
    {
    }

    public Socks5Exception(Socks5Reply reply, IPEndPoint destination)
        : base($"the proxy cannot connect to {destination}: {Text(reply)}") => Reply = reply;

    /// <summary>What the proxy said about the destination; null when the trouble is with the proxy itself.</summary>
    public Socks5Reply? Reply { get; }

    private static string Text(Socks5Reply reply) => reply switch
    {
        Socks5Reply.GeneralFailure => "general failure",
        Socks5Reply.NotAllowed => "its rules forbid it",
        Socks5Reply.NetworkUnreachable => "network unreachable",
        Socks5Reply.HostUnreachable => "host unreachable",
        Socks5Reply.ConnectionRefused => "connection refused",
        Socks5Reply.TimeToLiveExpired => "it did not get there in time",
        Socks5Reply.CommandNotSupported => "it does not open connections",
        Socks5Reply.AddressTypeNotSupported => "it does not take addresses of this kind",
        _ => $"reply {(byte)reply}, which does not exist",
    };
}
