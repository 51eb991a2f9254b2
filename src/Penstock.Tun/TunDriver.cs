using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Penstock.Links;
using Penstock.SystemCalls;
using Penstock.Time;

namespace Penstock;

/// <summary>
/// Drives one worker from one queue of a TUN device, on a named thread: it sleeps in <c>ppoll</c> until a packet, a wake-up or the
/// worker's next deadline comes, reads a burst and processes it where it was read. It never spins, and other threads pay for a system
/// call only when it sleeps.
/// </summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage(
    "Design", "CA1001", Justification = "The thread disposes what it uses when it ends, which Stop waits for.")]
internal sealed unsafe class TunDriver : Driver
{
    private const long NanosPerSecond = 1_000_000_000;

    /// <summary>The longest sleep; a deadline may be centuries away.</summary>
    private const long LongestSleepNanos = 3600 * NanosPerSecond;

    /// <summary>How long a device is left alone that reports an error and then, when it is read, none: it is being removed.</summary>
    private const long SuspicionNanos = 10_000_000;

    private readonly TunLink _link;
    private readonly SafeFileHandle _device;
    private readonly TunReceiver _receiver;
    private readonly TimestampClock _clock = new(TimeProvider.System);
    private readonly string _name;
    private SafeFileHandle? _event;
    private Worker? _worker;
    private Thread? _thread;
    private bool _holdsDevice;
    private bool _suspect;
    private int _pending;
    private int _sleeping;
    private bool _stop;

    public TunDriver(TunLink link, int queue, SafeFileHandle device)
    {
        _link = link;
        _device = device;
        _receiver = new TunReceiver(link, queue);
        _name = link.QueueCount == 1 ? $"tun:{link.Name}" : $"tun:{link.Name}/{queue}";
    }

    public override long NowNanos => _clock.NowNanos;

    public override void Start(Worker worker)
    {
        int descriptor = LibC.EventDescriptor(0, Constants.EventNonBlockingCloseOnExec);
        if (descriptor < 0)
        {
            string why = TunErrors.Text(Marshal.GetLastSystemError());
            throw new IOException($"Making the wake-up descriptor of '{_link.Name}' failed: {why}.");
        }

        _event = new SafeFileHandle(descriptor, ownsHandle: true);
        _worker = worker;
        _device.DangerousAddRef(ref _holdsDevice);
        _thread = new Thread(Loop) { IsBackground = true, Name = _name };
        _thread.UnsafeStart();
    }

    public override void Wake(Worker worker) => Wake();

    public override void Stop(Worker worker)
    {
        Volatile.Write(ref _stop, true);
        Wake();
        if (Thread.CurrentThread != _thread)
        {
            _thread?.Join();
        }
    }

    public void Wake()
    {
        // "Set pending, then look whether it sleeps" against "set sleeping, then look whether anything is pending": both need a full fence.
        Interlocked.Exchange(ref _pending, 1);
        if (Volatile.Read(ref _sleeping) != 0 && Interlocked.Exchange(ref _sleeping, 0) != 0)
        {
            Signal();
        }
    }

    /// <summary>Ends the driver's sleep. Of several wakers one comes here, the one that took the sleeping flag.</summary>
    private void Signal()
    {
        SafeFileHandle signal = _event!;
        bool held = false;
        try
        {
            signal.DangerousAddRef(ref held);
            ulong one = 1;
            _ = LibC.Write((int)signal.DangerousGetHandle(), &one, sizeof(ulong));
        }
        catch (ObjectDisposedException)
        {
            // The thread has ended: nobody is left to wake.
        }
        finally
        {
            if (held)
            {
                signal.DangerousRelease();
            }
        }
    }

    private void Loop()
    {
        // Linux rounds a thread's timeouts up by 50 us; pacing wants them as they are.
        _ = LibC.ThreadControl(Constants.SetTimerSlack, 1, 0, 0, 0);
        Worker worker = _worker!;
        worker.Thread = Environment.CurrentManagedThreadId;
        try
        {
            while (!Volatile.Read(ref _stop))
            {
                bool more = _holdsDevice && Receive();

                // Wake-ups for what the burst itself has posted are answered by the run that follows.
                Interlocked.Exchange(ref _pending, 0);
                if (!worker.Run() && !more)
                {
                    Sleep(worker);
                }
            }
        }
        finally
        {
            worker.Thread = 0;
            LetGoOfDevice();
            _receiver.Dispose();
            _event!.Dispose();
        }
    }

    /// <summary>Reads a burst; true when there may be more.</summary>
    private bool Receive()
    {
        if (_link.IsGone)
        {
            if (_link.IsDisposed)
            {
                _link.Fail(new ObjectDisposedException(_link.Name, "The link was disposed while a stack used it."));
            }

            LetGoOfDevice();
            return false;
        }

        // The stack starts its workers before it attaches the interface that takes their packets.
        if (_link.Client is not { } client || _suspect)
        {
            return false;
        }

        switch (_receiver.ReadBurst((int)_device.DangerousGetHandle(), client, this))
        {
            case BurstEnd.Limit:
                return true;
            case BurstEnd.Failed:
                LetGoOfDevice();
                return false;
            default:
                return false;
        }
    }

    private void LetGoOfDevice()
    {
        if (_holdsDevice)
        {
            _holdsDevice = false;
            _device.DangerousRelease();
        }
    }

    private void Sleep(Worker worker)
    {
        Interlocked.Exchange(ref _sleeping, 1);
        if (Volatile.Read(ref _pending) == 0 && !Volatile.Read(ref _stop))
        {
            long deadline = worker.NextDeadlineNanos;
            long wait = deadline switch
            {
                long.MinValue => 0,
                long.MaxValue => LongestSleepNanos,
                _ => Math.Min(deadline - NowNanos, LongestSleepNanos),
            };
            if (wait > 0)
            {
                Wait(wait);
            }
        }

        Volatile.Write(ref _sleeping, 0);
    }

    private void Wait(long nanos)
    {
        bool listens = _holdsDevice && !_suspect && _link.Client is not null;
        if (_suspect)
        {
            nanos = Math.Min(nanos, SuspicionNanos);
            _suspect = false;
        }

        PollEntry* entries = stackalloc PollEntry[2];
        entries[0] = new PollEntry { Descriptor = (int)_event!.DangerousGetHandle(), Wanted = PollEntry.Input };
        entries[1] = new PollEntry { Descriptor = listens ? (int)_device.DangerousGetHandle() : -1, Wanted = PollEntry.Input };
        var timeout = new TimeSpec { Seconds = (nint)(nanos / NanosPerSecond), Nanos = (nint)(nanos % NanosPerSecond) };
        if (LibC.Poll(entries, 2, &timeout, null) <= 0)
        {
            return;
        }

        if (entries[0].Seen != 0)
        {
            ulong count;
            _ = LibC.Read(entries[0].Descriptor, &count, sizeof(ulong));
        }

        // Only an error and no packet: the read that follows will tell why, or else the device is left alone for a while rather than
        // asked in a circle.
        const short Troubles = PollEntry.Error | PollEntry.HangUp | PollEntry.Invalid;
        if ((entries[1].Seen & Troubles) != 0 && (entries[1].Seen & PollEntry.Input) == 0 && _link.Client is { } client)
        {
            _suspect = _receiver.ReadBurst(entries[1].Descriptor, client, this) == BurstEnd.Empty;
        }
    }
}
