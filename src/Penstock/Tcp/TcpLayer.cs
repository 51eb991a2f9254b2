using Penstock.Accounting;
using Penstock.Buffers;
using Penstock.Ip;
using Penstock.Time;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>TCP of one stack: tables of connections, listeners and small entries; finds who a segment is for.</summary>
internal sealed class TcpLayer : ITransport
{
    private readonly NetworkStack _stack;

    public TcpLayer(NetworkStack stack)
    {
        _stack = stack;
        long pages = stack.Options.MemoryLimit >> ProtocolMemory.PageShift;
        Memory = new ProtocolMemory(pages * 3 / 8, pages / 2, pages * 3 / 4);
    }

    public TcpSettings Settings { get; } = new();

    public ProtocolMemory Memory { get; }

    public bool AcceptsForeign => false;

    public void Input(PacketBuffer packet, StackInterface ingress, Worker worker) => packet.Free();

    public void OnIcmpError(in IPv4Header original, ReadOnlySpan<byte> transport, IcmpType type, byte code, int nextHopMtu, Worker worker)
    {
    }

    public void OnLinkSpace(StackInterface on)
    {
    }

    public ValueTask CloseAllAsync(TimeSpan timeout) => ValueTask.CompletedTask;

    public void FreeAll()
    {
    }
}
