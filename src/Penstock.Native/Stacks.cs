using System.Runtime.InteropServices;
using System.Text;
using Penstock.Bsd;
using Penstock.Sockets;
using Penstock.Time;

namespace Penstock.Native;

/// <summary>The stacks of a process, by the handles that C programs have of them.</summary>
internal static unsafe class Stacks
{
    private static readonly object Gate = new();
    private static readonly Dictionary<nint, NativeStack> Known = [];
    private static nint _last;

    public static NativeStack? Find(nint handle)
    {
        lock (Gate)
        {
            return Known.GetValueOrDefault(handle);
        }
    }

    public static nint Add(NativeStack stack)
    {
        lock (Gate)
        {
            // A handle is no address: one that is stale or wrong is noticed.
            _last += 16;
            Known.Add(_last, stack);
            return _last;
        }
    }

    /// <summary>0 when it failed, with errno and a message.</summary>
    public static nint Open(byte* text)
    {
#pragma warning disable CA1031 // No managed exception may reach a C caller.
        try
        {
            return Add(NativeStack.Open(Text(text)));
        }
        catch (Exception error)
        {
            Marshal.SetLastSystemError(-Errors.Note(error));
            return 0;
        }
#pragma warning restore CA1031
    }

    public static int Close(nint handle) => Guard(handle, 0, static (stack, a) =>
    {
        Calls.Files.CloseAll(file => ReferenceEquals(file.Pace, stack.Pace));
        stack.Close();
        return 0;
    }, forget: true);

    public static int SetSetting(nint handle, byte* key, byte* value) => Guard(handle, (Key: (nint)key, Value: (nint)value), static (stack, a) =>
    {
        stack.Stack.Sysctl.Set(Text((byte*)a.Key), Text((byte*)a.Value));
        return 0;
    });

    /// <summary>The length of the value, which is cut where the buffer ends, as snprintf does.</summary>
    public static int GetSetting(nint handle, byte* key, byte* value, nuint size) => Guard(handle, (Key: (nint)key, Value: (nint)value, size), static (stack, a) =>
    {
        byte[] text = Encoding.UTF8.GetBytes(stack.Stack.Sysctl.Get(Text((byte*)a.Key)));
        if (a.Value != 0 && a.size > 0)
        {
            var to = new Span<byte>((byte*)a.Value, (int)Math.Min(a.size, int.MaxValue));
            int count = Math.Min(text.Length, to.Length - 1);
            text.AsSpan(0, count).CopyTo(to);
            to[count] = 0;
        }

        return text.Length;
    });

    public static int Sleep(nint handle, ulong microseconds) => Sleep(Find(handle), microseconds);

    /// <summary>Lets time pass.</summary>
    public static int Sleep(NativeStack? stack, ulong microseconds)
    {
        if (stack is null)
        {
            return Result.Fail(Errno.EINVAL);
        }

#pragma warning disable CA1031 // No managed exception may reach a C caller.
        try
        {
            stack.Pace.Sleep((long)Math.Min(microseconds, long.MaxValue / 2 / Nanos.PerMicrosecond) * Nanos.PerMicrosecond);
            return 0;
        }
        catch (Exception error)
        {
            return Errors.Note(error);
        }
#pragma warning restore CA1031
    }

    public static long ReadClock(nint handle) => Find(handle)?.ReadClock() ?? -1;

    /// <summary>A packet arrives at the stack.</summary>
    public static int Inject(NativeStack? stack, byte* packet, nuint length)
    {
        if (stack?.Wire is not { } wire || length > 65535)
        {
            return Result.Fail(Errno.EINVAL);
        }

        if (packet is null)
        {
            return Result.Fail(Errno.EFAULT);
        }

#pragma warning disable CA1031 // No managed exception may reach a C caller.
        try
        {
            Errors.Log($"{stack.Pace.NowNanos / 1e9:f6} received {length} bytes");
            bool taken;
            stack.Pace.Enter();
            try
            {
                taken = wire.Inject(new ReadOnlySpan<byte>(packet, (int)length));
            }
            finally
            {
                stack.Pace.Exit();
            }

            if (!stack.IsVirtual)
            {
                wire.WaitUntilProcessed();
            }

            return taken ? 0 : Result.Fail(Errno.ENOBUFS);
        }
        catch (Exception error)
        {
            return Errors.Note(error);
        }
#pragma warning restore CA1031
    }

    /// <summary>Takes a packet that the stack has sent; its length, or 0 when none came within <paramref name="microseconds"/>, null for the stack's patience.</summary>
    public static int Take(NativeStack? stack, byte* packet, nuint size, long? microseconds, long* time)
    {
        if (stack?.Wire is null)
        {
            return Result.Fail(Errno.EINVAL);
        }

        if (packet is null)
        {
            return Result.Fail(Errno.EFAULT);
        }

#pragma warning disable CA1031 // No managed exception may reach a C caller.
        try
        {
            if (!stack.Receive(microseconds is { } micros ? micros * Nanos.PerMicrosecond : Nanos.From(stack.Patience), out byte[] bytes, out long nanos))
            {
                return 0;
            }

            Errors.Log($"{nanos / 1e9:f6} sent {bytes.Length} bytes, taken at {stack.Pace.NowNanos / 1e9:f6}");
            bytes.AsSpan(0, (int)Math.Min(size, (nuint)bytes.Length)).CopyTo(new Span<byte>(packet, bytes.Length));
            if (time is not null)
            {
                *time = nanos / Nanos.PerMicrosecond;
            }

            return (int)Math.Min(size, (nuint)bytes.Length);
        }
        catch (Exception error)
        {
            return Errors.Note(error);
        }
#pragma warning restore CA1031
    }

    private static string Text(byte* text) => Marshal.PtrToStringUTF8((nint)text) ?? throw new ArgumentException("A text is expected and NULL was given.");

    private static int Guard<T>(nint handle, T arguments, Func<NativeStack, T, int> call, bool forget = false)
    {
        NativeStack? stack;
        lock (Gate)
        {
            if (!Known.TryGetValue(handle, out stack))
            {
                return Result.Fail(Errno.EINVAL);
            }

            if (forget)
            {
                Known.Remove(handle);
            }
        }

#pragma warning disable CA1031 // No managed exception may reach a C caller.
        try
        {
            return call(stack, arguments);
        }
        catch (Exception error)
        {
            return Errors.Note(error);
        }
#pragma warning restore CA1031
    }
}
