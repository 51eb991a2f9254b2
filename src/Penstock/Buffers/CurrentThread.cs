using System.Runtime.CompilerServices;

namespace Penstock.Buffers;

/// <summary>
/// The calling thread's managed id, which no other living thread has. The runtime's own property is a call into it, five times as dear as a look at a thread's own field, and a message of a few
/// bytes asks a dozen times who it is that counts, rents and gives back.
/// </summary>
internal static class CurrentThread
{
    [ThreadStatic]
    private static int t_id;

    public static int Id
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => t_id is not 0 and var id ? id : Look();
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int Look() => t_id = Environment.CurrentManagedThreadId;
}
