namespace Penstock.Testing.Cables;

/// <summary>How a node gets to the network of a cable: <paramref name="First"/> is the cable of its own that leads there.</summary>
internal readonly record struct CablePath(NetworkCable To, NetworkCable First)
{
    /// <summary>The shortest paths from a node to every cable, nearest first. Only routers pass on what is not for them.</summary>
    public static List<CablePath> From(VirtualNode start, Func<VirtualNode, IEnumerable<NetworkCable>> cablesOf)
    {
        var paths = new List<CablePath>();
        var seen = new HashSet<NetworkCable>();
        var next = new Queue<(VirtualNode Node, NetworkCable? First)>([(start, null)]);
        while (next.TryDequeue(out (VirtualNode Node, NetworkCable? First) at))
        {
            foreach (NetworkCable cable in cablesOf(at.Node))
            {
                if (!seen.Add(cable))
                {
                    continue;
                }

                NetworkCable first = at.First ?? cable;
                paths.Add(new CablePath(cable, first));
                VirtualNode far = cable.Other(at.Node);
                if (far is VirtualRouter)
                {
                    next.Enqueue((far, first));
                }
            }
        }

        return paths;
    }
}
