using System.Diagnostics;
using System.Runtime.CompilerServices;

namespace Penstock.Accounting;

/// <summary>
/// The memory ledger of one socket, by Linux's rules: memory is bought from <see cref="ProtocolMemory"/> in pages
/// (<see cref="ScheduleSend"/>), buffers are charged against what was bought, and whole pages go back as soon as they are free.
/// Only the socket's owner changes it; others may read single figures.
/// </summary>
internal sealed class SocketMemory(ProtocolMemory protocol, MemoryGroup? group)
{
    /// <summary>Bytes bought and not charged (Linux: <c>sk_forward_alloc</c>).</summary>
    public int ForwardAlloc { get; private set; }

    /// <summary>True size of all buffers in the write and retransmit queues (Linux: <c>sk_wmem_queued</c>).</summary>
    public int WriteQueueBytes { get; private set; }

    /// <summary>The part of <see cref="WriteQueueBytes"/> that is charged; less than it by pure zero-copy payload.</summary>
    public int WriteCharged { get; private set; }

    /// <summary>True size of all received buffers that wait for the application or for a gap to fill (Linux: <c>sk_rmem_alloc</c>).</summary>
    public int ReceiveAlloc { get; private set; }

    /// <summary>Pages bought from the protocol.</summary>
    public long Pages { get; private set; }

    public ProtocolMemory Protocol => protocol;

    public MemoryGroup? Group => group;

    /// <summary>Memory is short for this socket: for all of the stack, or for its group (Linux: <c>tcp_under_memory_pressure</c>).</summary>
    public bool UnderPressure => protocol.UnderPressure || (group is not null && group.UnderPressure);

    /// <summary>The send-buffer limit, bytes of true size (Linux: <c>sk_sndbuf</c>).</summary>
    public int SendBuffer;

    /// <summary>The receive-buffer limit, bytes of true size (Linux: <c>sk_rcvbuf</c>).</summary>
    public int ReceiveBuffer;

    /// <summary>The application fixed the size; auto-tuning leaves it alone (Linux: <c>SOCK_SNDBUF_LOCK</c>, <c>SOCK_RCVBUF_LOCK</c>).</summary>
    public bool SendBufferLocked;

    public bool ReceiveBufferLocked;

    /// <summary>Smallest send buffer that pressure may shrink to (Linux: <c>SOCK_MIN_SNDBUF</c> / tcp_wmem[0]).</summary>
    public int MinimumSendBuffer = 4096;

    /// <summary>Receive memory that is granted even under pressure: tcp_rmem[0].</summary>
    public int MinimumReceiveBuffer = 4096;

    /// <summary>Rules that this ledger does without, for tests of the tests.</summary>
    internal Omission Omitted;

    /// <summary>Buys what is missing for <paramref name="bytes"/> of send memory; false when the limits say no.</summary>
    public bool ScheduleSend(int bytes) => bytes <= ForwardAlloc || Buy(bytes - ForwardAlloc, sending: true);

    /// <summary>Buys what is missing for <paramref name="bytes"/> of receive memory; false when the limits say no.</summary>
    public bool ScheduleReceive(int bytes) => bytes <= ForwardAlloc || Buy(bytes - ForwardAlloc, sending: false);

    /// <summary>Buys regardless of the limits: the first buffer of an empty socket, ACK, FIN, RST (R2.6).</summary>
    public void ForceSchedule(int bytes)
    {
        if (bytes > ForwardAlloc)
        {
            long pages = PagesFor(bytes - ForwardAlloc);
            Take(pages);
            protocol.Add(pages);
            group?.Charge(pages, force: true);
        }
    }

    /// <summary>A buffer enters the write queue: its true size is queued and charged.</summary>
    public void ChargeSend(int bytes)
    {
        WriteQueueBytes += bytes;
        WriteCharged += bytes;
        ForwardAlloc -= bytes;
        AssertIdentity();
    }

    /// <summary>Queued but not charged: pure zero-copy payload.</summary>
    public void QueueUncharged(int bytes) => WriteQueueBytes += bytes;

    /// <summary>What was queued uncharged is charged after all: copied data is about to join it (R2.18).</summary>
    public void ChargeQueued(int bytes)
    {
        WriteCharged += bytes;
        ForwardAlloc -= bytes;
        AssertIdentity();
    }

    /// <summary>A buffer, or a part of it, leaves the write queue.</summary>
    public void UnchargeSend(int queuedBytes, int chargedBytes)
    {
        UnchargeSendForNow(queuedBytes, chargedBytes);
        Reclaim();
    }

    /// <summary>As <see cref="UnchargeSend"/>, but pages stay until <see cref="Reclaim"/>: a segment that acknowledges may bring data that needs them.</summary>
    public void UnchargeSendForNow(int queuedBytes, int chargedBytes)
    {
        WriteQueueBytes -= queuedBytes;
        WriteCharged -= chargedBytes;
        ForwardAlloc += chargedBytes;
        AssertIdentity();
    }

    public void ChargeReceive(int bytes)
    {
        ReceiveAlloc += bytes;
        ForwardAlloc -= bytes;
        AssertIdentity();
    }

    public void UnchargeReceive(int bytes)
    {
        ReceiveAlloc -= bytes;
        ForwardAlloc += bytes;
        Reclaim();
        AssertIdentity();
    }

    /// <summary>Gives back what a schedule bought and no charge used.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Reclaim()
    {
        if (ForwardAlloc >= ProtocolMemory.PageSize)
        {
            ReturnPages();
        }
    }

    private void ReturnPages()
    {
        if ((Omitted & Omission.PagesReturned) == Omission.None)
        {
            int pages = ForwardAlloc >> ProtocolMemory.PageShift;
            ForwardAlloc -= pages << ProtocolMemory.PageShift;
            Pages -= pages;
            protocol.Remove(pages);
            group?.Uncharge(pages);
        }
    }

    /// <summary>
    /// The identity of Linux's accounting: pages bought = forward alloc + charged sends + charged receives, nothing negative.
    /// Returns null when it holds, else what is wrong.
    /// </summary>
    public string? Verify()
    {
        if (ForwardAlloc < 0 || WriteQueueBytes < 0 || WriteCharged < 0 || ReceiveAlloc < 0 || WriteCharged > WriteQueueBytes)
        {
            return $"negative or inverted: {this}";
        }

        long bought = Pages << ProtocolMemory.PageShift;
        long used = (long)ForwardAlloc + WriteCharged + ReceiveAlloc;
        return bought == used ? null : $"bought {bought} bytes but {used} are accounted for: {this}";
    }

    public override string ToString() =>
        $"forward_alloc {ForwardAlloc}, wmem_queued {WriteQueueBytes}, charged {WriteCharged}, rmem_alloc {ReceiveAlloc}, pages {Pages}";

    private static long PagesFor(int bytes) => ((long)bytes + ProtocolMemory.PageSize - 1) >> ProtocolMemory.PageShift;

    private void Take(long pages)
    {
        Pages += pages;
        ForwardAlloc += (int)(pages << ProtocolMemory.PageShift);
    }

    /// <summary>R2.4: the common limits, and who is granted memory although they are passed.</summary>
    private bool Buy(int bytes, bool sending)
    {
        long pages = PagesFor(bytes);
        MemoryVerdict verdict = protocol.Add(pages);
        if (verdict == MemoryVerdict.AboveHigh && (Omitted & Omission.HighLimit) != Omission.None)
        {
            verdict = MemoryVerdict.Granted;
        }

        bool groupAllows = group is null || group.Charge(pages, force: (Omitted & Omission.GroupLimit) != Omission.None);
        if (groupAllows && verdict == MemoryVerdict.Granted)
        {
            Take(pages);
            return true;
        }

        if (groupAllows && verdict != MemoryVerdict.AboveHigh && MayHaveUnderPressure(pages, sending))
        {
            Take(pages);
            return true;
        }

        if (sending)
        {
            ModerateSendBuffer();
            if (WriteQueueBytes + bytes >= SendBuffer)
            {
                // The caller is about to block on its send buffer anyway: granting keeps the stream's order simple.
                if (!groupAllows)
                {
                    group!.Charge(pages, force: true);
                }

                Take(pages);
                return true;
            }
        }

        protocol.Remove(pages);
        if (groupAllows)
        {
            group?.Uncharge(pages);
        }

        return false;
    }

    private bool MayHaveUnderPressure(long pages, bool sending)
    {
        if (sending ? WriteQueueBytes < MinimumSendBuffer : ReceiveAlloc < MinimumReceiveBuffer)
        {
            return true;
        }

        if ((Omitted & Omission.FairShare) != Omission.None)
        {
            return true;
        }

        long mine = Pages + pages;
        return protocol.HighPages > Math.Max(1, protocol.Sockets) * mine;
    }

    /// <summary>Linux: <c>sk_stream_moderate_sndbuf</c>.</summary>
    private void ModerateSendBuffer()
    {
        if (!SendBufferLocked && (Omitted & Omission.RefusalShrinksBuffer) == Omission.None)
        {
            SendBuffer = Math.Max(Math.Min(SendBuffer, WriteQueueBytes / 2), MinimumSendBuffer);
        }
    }

    [Conditional("DEBUG")]
    private void AssertIdentity()
    {
        string? wrong = Verify();
        if (wrong is not null)
        {
            throw new InvalidOperationException("Socket memory accounting is off: " + wrong);
        }
    }
}
