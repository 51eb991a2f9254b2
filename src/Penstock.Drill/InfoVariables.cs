using Penstock.Sockets;
using Penstock.Tcp;

namespace Penstock.Drill;

/// <summary>The fields of Linux's tcp_info and the words of SO_MEMINFO by their names, with Linux's units and numbers.</summary>
internal static class InfoVariables
{
    private const string MemoryPrefix = "SK_MEMINFO_";

    /// <summary>In the order of the words (include/uapi/linux/sock_diag.h).</summary>
    private static readonly string[] s_memory = ["RMEM_ALLOC", "RCVBUF", "WMEM_ALLOC", "SNDBUF", "FWD_ALLOC", "WMEM_QUEUED", "OPTMEM", "BACKLOG", "DROPS"];

    /// <summary>All that <see cref="Find"/> knows when there is a socket.</summary>
    public static IEnumerable<string> Names => TcpInfoLayout.Places.Select(static place => place.Name).Concat(s_memory.Select(static word => MemoryPrefix + word));

    /// <summary>The field's value now; null when there is no such field, or no socket to ask.</summary>
    public static long? Find(string name, Func<TcpInfo?> ask)
    {
        if (name.StartsWith(MemoryPrefix, StringComparison.Ordinal) && Array.IndexOf(s_memory, name[MemoryPrefix.Length..]) is >= 0 and var index)
        {
            Span<byte> words = stackalloc byte[s_memory.Length * sizeof(uint)];
            if (ask() is not { } memory)
            {
                return null;
            }

            TcpInfoLayout.WriteMemory(memory, words);
            return BitConverter.ToUInt32(words[(index * sizeof(uint))..]);
        }

        return name.StartsWith("tcpi_", StringComparison.Ordinal) && ask() is { } info ? TcpInfoLayout.Read(name, info) : null;
    }
}
