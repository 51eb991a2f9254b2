namespace Penstock.Drill;

/// <summary>
/// One line of a script that happens at a time. An executor walks <see cref="Script.Events"/> in order and switches over the
/// kinds below; there are no others.
/// </summary>
internal abstract record ScriptEvent : Node
{
    public required TimeSpec Time { get; init; }
}

/// <summary>A TCP segment the script injects.</summary>
internal sealed record PacketIn(TcpPattern Packet) : ScriptEvent
{
    /// <summary>The bytes it carries; null for zeros. Files cannot say it.</summary>
    public byte[]? Payload { get; init; }
}

/// <summary>A TCP segment the stack must send.</summary>
internal sealed record PacketOut(TcpPattern Packet) : ScriptEvent
{
    /// <summary>The bytes it must carry; null for zeros. Files cannot say it.</summary>
    public byte[]? Payload { get; init; }
}

/// <summary>A UDP datagram the script injects.</summary>
internal sealed record UdpIn(UdpPattern Packet) : ScriptEvent;

/// <summary>A UDP datagram the stack must send.</summary>
internal sealed record UdpOut(UdpPattern Packet) : ScriptEvent;

/// <summary>An ICMP message the script injects.</summary>
internal sealed record IcmpIn(IcmpPattern Packet) : ScriptEvent;

/// <summary>An ICMP message the stack must send.</summary>
internal sealed record IcmpOut(IcmpPattern Packet) : ScriptEvent;

/// <summary>
/// A socket call with its expected result. <see cref="ErrorName"/> is the errno macro of a failed call, <see cref="Note"/> the
/// text in parentheses behind it, which is never compared. A call whose time has a <see cref="TimeSpec.CallEndNanos"/> blocks.
/// </summary>
internal sealed record SystemCall(
    string Name, NodeList<Expression> Arguments, Expression Result, string? ErrorName, string? Note) : ScriptEvent;

/// <summary>A command for the shell, in back quotes. Executors recognise some and run none.</summary>
internal sealed record Command(string Line) : ScriptEvent;

/// <summary>A piece of code between <c>%{</c> and <c>}%</c>: assertions about the connection's state.</summary>
internal sealed record Code(NodeList<CodeStatement> Statements) : ScriptEvent;

/// <summary>A look at the connection by code of the caller; throws what it finds wrong. Only in scripts that were built in C#.</summary>
internal sealed record Check(Action<TcpInfo> Look) : ScriptEvent;

/// <summary>The caller's own code begins to use the stack. Only in scripts that were built in C#.</summary>
internal sealed record ApplicationStart(Func<DrillApplication, Task> Body) : ScriptEvent;
