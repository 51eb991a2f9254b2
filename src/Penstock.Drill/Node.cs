using System.Collections;
using System.Runtime.CompilerServices;

namespace Penstock.Drill;

/// <summary>A place in a script: line and column, both from 1.</summary>
internal readonly record struct SourcePosition(int Line, int Column);

/// <summary>
/// A piece of a parsed script. Immutable. Two nodes are equal when they say the same, wherever they stand: positions do not
/// count, so that a printed and re-read script equals the first.
/// </summary>
internal abstract record Node
{
    public SourcePosition At { get; init; }

    public virtual bool Equals(Node? other) => other is not null && EqualityContract == other.EqualityContract;

    public override int GetHashCode() => EqualityContract.GetHashCode();
}

/// <summary>An immutable list that is equal to another with equal elements in the same order, as records need it.</summary>
[CollectionBuilder(typeof(NodeList), nameof(NodeList.Create))]
internal sealed class NodeList<T>(T[] items) : IReadOnlyList<T>, IEquatable<NodeList<T>>
{
    public static readonly NodeList<T> Empty = new([]);

    public int Count => items.Length;

    public T this[int index] => items[index];

    public bool Equals(NodeList<T>? other) => other is not null && items.AsSpan().SequenceEqual(other.AsSpan(), null);

    public override bool Equals(object? obj) => Equals(obj as NodeList<T>);

    public override int GetHashCode()
    {
        HashCode hash = default;
        foreach (T item in items)
        {
            hash.Add(item);
        }

        return hash.ToHashCode();
    }

    public IEnumerator<T> GetEnumerator() => ((IEnumerable<T>)items).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => items.GetEnumerator();

    private ReadOnlySpan<T> AsSpan() => items;
}

/// <summary>Makes <see cref="NodeList{T}"/> work with collection expressions.</summary>
internal static class NodeList
{
    public static NodeList<T> Create<T>(ReadOnlySpan<T> items) => items.IsEmpty ? NodeList<T>.Empty : new(items.ToArray());
}
