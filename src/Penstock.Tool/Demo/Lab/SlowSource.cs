namespace Penstock.Tool.Demo.Lab;

/// <summary>Produces bytes page by page and takes real time for each new page, as reading from a disk or another process does: it waits, giving its core away.</summary>
internal sealed class SlowSource(int microsPerPage)
{
    private long _produced;

    public void Fill(Span<byte> destination)
    {
        destination.Fill(1);
        long pages = ((_produced + destination.Length + CopyModel.Page - 1) / CopyModel.Page) - ((_produced + CopyModel.Page - 1) / CopyModel.Page);
        _produced += destination.Length;
        for (long i = 0; i < pages; i++)
        {
            long begin = TimeProvider.System.GetTimestamp();
            while (TimeProvider.System.GetElapsedTime(begin).TotalMicroseconds < microsPerPage)
            {
                // A timer of the system is too coarse for a quarter of a millisecond.
                Thread.Yield();
            }
        }
    }
}
