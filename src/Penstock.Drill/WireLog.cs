using System.Globalization;

namespace Penstock.Drill;

/// <summary>
/// What went over the wire, in the order and at the times it did, whether or not the script has looked at it. Packets of the stack are turned into script
/// lines at the end, when the numbers of their connections are known.
/// </summary>
internal sealed class WireLog(long startNanos)
{
    private readonly List<Entry> _entries = [];

    /// <summary>A line of the script was injected.</summary>
    public void AddIn(string line, long nanos) => _entries.Add(new Entry(nanos, line, null));

    /// <summary>The stack sent a packet.</summary>
    public void AddOut(CapturedPacket packet) => _entries.Add(new Entry(packet.Nanos, null, packet));

    /// <summary>Every entry as a line of a script, behind its time.</summary>
    /// <param name="describe">Gives the script line of a packet that the stack sent.</param>
    public List<string> Render(Func<CapturedPacket, string> describe)
    {
        var lines = new List<string>(_entries.Count);
        foreach (Entry entry in _entries)
        {
            string line = entry.Line ?? describe(entry.Packet!);
            lines.Add(string.Create(CultureInfo.InvariantCulture, $"{TimingTolerance.Seconds(entry.Nanos - startNanos),-9} {line}"));
        }

        return lines;
    }

    private readonly record struct Entry(long Nanos, string? Line, CapturedPacket? Packet);
}
