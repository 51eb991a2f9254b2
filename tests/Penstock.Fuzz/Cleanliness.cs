namespace Penstock.Fuzz;

/// <summary>What must be true of a stack that was disposed: everything has been given back.</summary>
internal static class Cleanliness
{
    public static void Check(NetworkStack stack)
    {
        Equal(0, stack.Pool.RentedBuffers, "packet buffers are still rented");
        Equal(0, stack.Pool.RentedSlabs, "slabs are still rented");
        Equal(0, stack.Tcp.Memory.AllocatedPages, "pages are still charged");
        Equal(0, stack.Tcp.Memory.Sockets, "sockets are still counted");
        Equal(0, stack.Tcp.Orphans, "orphans are still counted");
        Equal(0, stack.GetCounter(StackCounter.TcpCurrEstab), "connections are still counted as established");
        FuzzFailureException.Unless(stack.Pool.HeldMaximumBytes <= stack.Pool.Limit, "the memory limit was passed");
    }

    private static void Equal(long expected, long actual, string what) =>
        FuzzFailureException.Unless(expected == actual, $"{actual} {what}");
}
