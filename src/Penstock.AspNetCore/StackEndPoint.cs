using System.Net;

namespace Penstock.AspNetCore;

/// <summary>
/// An address and port on a certain <see cref="NetworkStack"/>, for when several stacks live in one process or when only some of Kestrel's end points belong on a stack. Immutable
/// but for the setters that it inherits.
/// </summary>
public sealed class StackEndPoint : IPEndPoint
{
    /// <summary>Names an address and port of a stack.</summary>
    /// <param name="stack">The stack; it is not owned.</param>
    /// <param name="address">An address of the stack, or <see cref="IPAddress.Any"/>.</param>
    /// <param name="port">The port; 0 for a free one.</param>
    public StackEndPoint(NetworkStack stack, IPAddress address, int port)
        : base(address, port)
    {
        ArgumentNullException.ThrowIfNull(stack);
        Stack = stack;
    }

    /// <summary>The stack.</summary>
    public NetworkStack Stack { get; }

    /// <summary>Equal when stack, address and port are.</summary>
    public override bool Equals(object? comparand) =>
        comparand is StackEndPoint other && ReferenceEquals(other.Stack, Stack) && base.Equals(comparand);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(base.GetHashCode(), System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(Stack));
}
