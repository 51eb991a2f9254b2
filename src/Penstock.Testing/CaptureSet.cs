namespace Penstock.Testing;

/// <summary>The pcapng files of a network: one for each end of each cable, because a reader would take what it sees at both ends for retransmissions.</summary>
internal sealed class CaptureSet
{
    private readonly string _stem;
    private readonly string _extension;
    private readonly bool _onlyOnFailure;
    private readonly List<string> _files = [];

    /// <exception cref="IOException">The folder can not be made.</exception>
    public CaptureSet(string path, bool onlyOnFailure)
    {
        string full = Path.GetFullPath(path);
        Directory.CreateDirectory(Path.GetDirectoryName(full) ?? full);
        _extension = Path.GetExtension(full) is { Length: > 1 } given ? given : ".pcapng";
        _stem = Path.ChangeExtension(full, null);
        _onlyOnFailure = onlyOnFailure;
    }

    public IReadOnlyList<string> Files => [.. _files];

    /// <summary>Wraps the end of a cable that <paramref name="node"/> is about to get.</summary>
    public CaptureLink Watch(Link end, NetworkCable cable, VirtualNode node)
    {
        string file = $"{_stem}.{cable}.{node.Name}{_extension}";
        CaptureLink link = CaptureLink.ToFile(end, file);
        _files.Add(file);
        return link;
    }

    /// <summary>The links are disposed and the files complete: deletes them when nobody needs them.</summary>
    public void End(bool passed)
    {
        if (!passed || !_onlyOnFailure)
        {
            return;
        }

        foreach (string file in _files)
        {
            File.Delete(file);
        }
    }
}
