using Penstock.Wire;

namespace Penstock.Tcp.Congestion;

/// <summary>
/// Explicit congestion notification of one connection (RFC 3168): was it agreed on, what is owed to the peer, what is to be said in the next segment. A byte of state; the bits of segments and packets are its
/// caller's to read and write. Accurate ECN (RFC 9768) would be another negotiation in the same place; who asks for it gets this one, as RFC 9768 3.1.2 foresees.
/// </summary>
internal struct ExplicitCongestion
{
    /// <summary>The two ECN bits of the IP header's type-of-service byte, and what they say (RFC 3168 5).</summary>
    public const byte Mask = 3, NotCapable = 0, Capable1 = 1, Capable0 = 2, Experienced = 3;

    /// <summary>What an ECN-setup SYN carries.</summary>
    public const TcpFlags SetupSyn = TcpFlags.Ece | TcpFlags.Cwr;

    private const byte Agreed = 1, Seen = 2, OwesEcho = 4, OwesReduced = 8;

    private byte _flags;

    /// <summary>Both sides know ECN; before the handshake's end: we asked for it.</summary>
    public bool IsOn
    {
        readonly get => (_flags & Agreed) != 0;
        set => _flags = value ? Agreed : (byte)0;
    }

    /// <summary>Data came that could be marked or was (Linux: TCPI_OPT_ECN_SEEN).</summary>
    public readonly bool HasSeen => (_flags & (Agreed | Seen)) == (Agreed | Seen);

    /// <summary>A mark came, and until the peer says that it has reduced, every ACK has to carry ECE (RFC 3168 6.1.3).</summary>
    public readonly bool EchoesCongestion => (_flags & (Agreed | OwesEcho)) == (Agreed | OwesEcho);

    /// <summary>
    /// Whether a SYN asks for ECN so that it can be granted (RFC 3168 6.1.1): not with a mark of its own, which says that somebody marks everything, unless it asks for a later protocol too, which may mark
    /// its SYN (RFC 9768 3.1.2; Linux).
    /// </summary>
    public static bool IsAskedFor(TcpFlags flags, byte tos) =>
        (flags & SetupSyn) == SetupSyn && ((tos & Mask) == NotCapable || (flags & TcpFlags.Ae) != 0);

    /// <summary>A SYN-ACK came: ECE alone grants it. Both flags back is a peer that reflects what it does not know.</summary>
    public void OnSynAck(TcpFlags flags)
    {
        if ((flags & SetupSyn) != TcpFlags.Ece)
        {
            IsOn = false;
        }
    }

    /// <summary>The window was reduced: the peer, if it had asked for that, may stop to ask (RFC 3168 6.1.2).</summary>
    public void OnReduction()
    {
        if (IsOn)
        {
            _flags |= OwesReduced;
        }
    }

    /// <summary>The reduction was taken back.</summary>
    public void WithdrawReduction() => _flags &= unchecked((byte)~OwesReduced);

    /// <summary>
    /// What a segment that goes now says; <paramref name="newData"/>: data that was never sent before. Only such carries ECT (RFC 3168 6.1.4 to 6.1.6), for the loss of a retransmission or an ACK would not be noticed.
    /// </summary>
    public void Stamp(bool newData, ref TcpFlags flags, ref byte tos)
    {
        if (!IsOn)
        {
            return;
        }

        if (newData)
        {
            tos = (byte)((tos & ~Mask) | Capable0);
            if ((_flags & OwesReduced) != 0)
            {
                _flags &= unchecked((byte)~OwesReduced);
                flags |= TcpFlags.Cwr;
            }
        }

        if ((_flags & OwesEcho) != 0)
        {
            flags |= TcpFlags.Ece;
        }
    }

    /// <summary>The ECN bits of a data segment that arrived. True when it should be acknowledged without delay.</summary>
    public bool OnData(byte tos)
    {
        if (!IsOn)
        {
            return false;
        }

        switch (tos & Mask)
        {
            case NotCapable:
                // After data that could be marked this is most likely a retransmission (Linux).
                return (_flags & Seen) != 0;
            case Experienced:
                bool first = (_flags & OwesEcho) == 0;
                _flags |= Seen | OwesEcho;
                return first;
            default:
                _flags |= Seen;
                return false;
        }
    }

    /// <summary>The peer says that it has reduced (CWR). Taken from any segment: some send it on ACKs that carry no data.</summary>
    public void OnReduced() => _flags &= unchecked((byte)~OwesEcho);

    /// <summary>Whether a segment that arrived echoes congestion to us.</summary>
    public readonly bool IsEcho(TcpFlags flags) => IsOn && (flags & (TcpFlags.Ece | TcpFlags.Syn)) == TcpFlags.Ece;
}
