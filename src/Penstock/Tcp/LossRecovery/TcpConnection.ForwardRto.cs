using Penstock.Tcp.LossRecovery;
using Penstock.Wire;

namespace Penstock.Tcp;

/// <summary>
/// F-RTO (RFC 5682, in its SACK-enhanced form; sysctl tcp_frto): after a timeout only the head is sent again; if then something is delivered that was never sent again, the timeout was a mistake, and
/// nothing more is sent twice. In between new data goes, so that there is something to be delivered.
/// </summary>
internal sealed partial class TcpConnection
{
    /// <summary>
    /// RFC 5682 3.1 step 1. Not in the middle of another recovery, whose late ACKs would pass for proof; a timeout of the retransmission is tested again. And not while a probe of the path's MTU is in flight:
    /// that what followed it arrives is no sign that the probe was only late (Linux).
    /// </summary>
    private void BeginForwardRto(bool newRecovery) =>
        Recovery.TestsTimeout = _tcp.Settings.ForwardRto != 0 && (newRecovery || _retransmits > 0) && _mtuProbing is not { ProbeSize: > 0 };

    /// <summary>What an ACK in the state Loss tells. True when the caller has nothing more to do but what <see cref="AckOutcome.Rexmit"/> says.</summary>
    private bool ForwardRtoDecides(int duplicates, ref AckOutcome outcome)
    {
        RecoveryState recovery = Recovery;
        if (!recovery.TestsTimeout)
        {
            return false;
        }

        // Step 3.b: data from before the timeout arrived that was never sent again.
        if (outcome.OriginalDelivered && Keeps(Omission.SpuriousTimeoutUndone) && UndoTimeout(byForwardRto: true))
        {
            return true;
        }

        if (_sndNxt.After(recovery.HighSequence))
        {
            if (outcome.NewlyTagged || duplicates > 0)
            {
                // Step 3.a: the new data arrived before the old, so the loss was real.
                recovery.TestsTimeout = false;
            }
        }
        else if (outcome.Advanced && _sndUna.Before(recovery.HighSequence))
        {
            // Step 2.b: new data as far as there is any that may go.
            recovery.HighSequence = _sndNxt;
            if (FirstToSend is not null && (_sndUna + (int)_sndWnd).After(_sndNxt))
            {
                outcome.Rexmit = RetransmitKind.NewData;
                return true;
            }

            recovery.TestsTimeout = false;
        }

        return false;
    }

    /// <summary>Step 2.b, once the window is set. False when nothing could go: the conventional recovery goes on.</summary>
    private bool SendForwardRtoData()
    {
        PushPending(CurrentMss(), NagleMode.Off);
        if (_sndNxt.After(Recovery.HighSequence))
        {
            return true;
        }

        Recovery.TestsTimeout = false;
        return false;
    }
}
