using Penstock.Buffers;

namespace Penstock.Tcp.ZeroCopy;

/// <summary>
/// What queued buffers and their clones hold while they refer to the application's memory (Linux: <c>ubuf_info_msgzc</c>): a range of ids, one id for each call. When
/// the last reference goes, on whatever thread, all of its calls get their memory back. While it waits in an error queue it is the notification.
/// </summary>
internal sealed class ZeroCopyToken(ZeroCopySends sends) : PayloadOwner
{
    /// <summary>What a token costs its socket's optional memory, bytes: the object, and that of its first call, rounded up (Linux: SKB_TRUESIZE(0)).</summary>
    public const int TrueSize = 384;

    /// <summary>A call may join the token of the call before it up to so many bytes (Linux: 1 &lt;&lt; 19) and calls.</summary>
    public const int MaximumBytes = 512 * 1024;
    public const int MaximumCalls = ushort.MaxValue - 1;

    private bool _copied;

    /// <summary>The first id of the range.</summary>
    public uint First { get; private set; }

    /// <summary>Ids in the range; a merged notification may have more than <see cref="MaximumCalls"/>.</summary>
    public uint Count { get; private set; }

    /// <summary>Bytes of the calls.</summary>
    public long Bytes { get; private set; }

    /// <summary>The calls, the newest first.</summary>
    public ZeroCopyCall? Calls { get; private set; }

    /// <summary>The next in the error queue, or in the list of free ones.</summary>
    public ZeroCopyToken? Next;

    public ZeroCopySends Sends => sends;

    /// <summary>Some of the data was copied after all (Linux: SO_EE_CODE_ZEROCOPY_COPIED).</summary>
    public bool IsCopied => Volatile.Read(ref _copied);

    public void Start(uint first)
    {
        First = first;
        Count = 0;
        Bytes = 0;
        Next = null;
        _copied = false;
        StartReferences();
    }

    /// <summary>Takes in one more call, which has the next id (R2.9).</summary>
    public void Add(ZeroCopyCall call)
    {
        call.NextInToken = Calls;
        Calls = call;
        Count++;
        Bytes += call.Length;
    }

    /// <summary>Takes the newest call out again: it has queued nothing (R2.11).</summary>
    public void TakeBack(ZeroCopyCall call)
    {
        Calls = call.NextInToken;
        call.NextInToken = null;
        Count--;
        Bytes -= call.Length;
    }

    public ZeroCopyCall? DetachCalls()
    {
        ZeroCopyCall? calls = Calls;
        Calls = null;
        return calls;
    }

    /// <summary>As a notification: takes over the range of <paramref name="next"/>, which follows this one's (R2.12).</summary>
    public void Absorb(ZeroCopyToken next) => Count += next.Count;

    public override void NoteCopied()
    {
        if ((sends.Omitted & Omission.CopiedReported) == Omission.None)
        {
            Volatile.Write(ref _copied, true);
        }
    }

    protected override void OnUnreferenced() => sends.OnUnreferenced(this);
}
