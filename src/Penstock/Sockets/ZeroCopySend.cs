using Penstock.Tcp.ZeroCopy;

namespace Penstock;

/// <summary>A zero-copy send that was queued: how much, under which id, and when its memory is free again.</summary>
/// <remarks>A small value; copies of it stand for the same send.</remarks>
public readonly struct ZeroCopySend : IEquatable<ZeroCopySend>
{
    private readonly ZeroCopyCall? _call;
    private readonly short _version;

    internal ZeroCopySend(ZeroCopyCall call, short version, uint id, int bytesQueued)
    {
        _call = bytesQueued > 0 ? call : null;
        _version = version;
        Id = id;
        BytesQueued = bytesQueued;
    }

    /// <summary>Bytes queued; 0 means that the memory is not in use and there is no notification.</summary>
    public int BytesQueued { get; }

    /// <summary>The number that notifications name it by: 0 for the socket's first zero-copy send, then one more for each; wraps around. Meaningless when nothing was queued.</summary>
    public uint Id { get; }

    /// <summary>
    /// Completes when nothing refers to the memory any more, normally when the peer has acknowledged all of it, and at the latest when the connection has ended and its link is done with
    /// what it was given: from then on it may be changed. Over a cable with <see cref="CableOptions.HoldReferences"/> that is when the receiver has consumed it or closed. Await it at most once, or not
    /// at all. Sends that share a buffer are released together.
    /// </summary>
    public ValueTask Released => _call is null ? ValueTask.CompletedTask : new ValueTask(_call, _version);

    /// <summary>Whether both stand for the same send.</summary>
    public bool Equals(ZeroCopySend other) => _call == other._call && _version == other._version && Id == other.Id && BytesQueued == other.BytesQueued;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is ZeroCopySend other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(_call, _version, Id);

    /// <summary>Whether both stand for the same send.</summary>
    public static bool operator ==(ZeroCopySend left, ZeroCopySend right) => left.Equals(right);

    /// <summary>Whether the two stand for different sends.</summary>
    public static bool operator !=(ZeroCopySend left, ZeroCopySend right) => !left.Equals(right);
}
