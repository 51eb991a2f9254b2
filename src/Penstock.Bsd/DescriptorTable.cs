using Penstock.Sockets;

namespace Penstock.Bsd;

/// <summary>
/// The descriptors of a process. Numbers come from outside, from the kernel where the caller is a C program: then they are never those of a file that is open otherwise, and closing them
/// with the wrong close does no harm. Thread-safe.
/// </summary>
internal sealed class DescriptorTable(Func<int> open, Action<int> close)
{
    private readonly object _gate = new();
    private readonly Dictionary<int, OpenFile> _files = [];

    public OpenFile? this[int descriptor]
    {
        get
        {
            lock (_gate)
            {
                return _files.GetValueOrDefault(descriptor);
            }
        }
    }

    /// <summary>The files that are open now, each as often as it has descriptors.</summary>
    public OpenFile[] Open
    {
        get
        {
            lock (_gate)
            {
                return [.. _files.Values];
            }
        }
    }

    /// <summary>A new descriptor for <paramref name="file"/>, or a negative error number.</summary>
    public int Add(OpenFile file)
    {
        int descriptor = open();
        if (descriptor < 0)
        {
            return descriptor;
        }

        file.AddDescriptor();
        OpenFile? stale;
        lock (_gate)
        {
            // The kernel gives a number again only when it was closed: behind this table's back, then.
            _files.Remove(descriptor, out stale);
            _files.Add(descriptor, file);
        }

        stale?.RemoveDescriptor();
        return descriptor;
    }

    public int Duplicate(int descriptor) => this[descriptor] is { } file ? Add(file) : Result.Fail(Errno.EBADF);

    /// <summary>Closes a descriptor; the number may be given again when this returns.</summary>
    public int Close(int descriptor)
    {
        OpenFile? file;
        lock (_gate)
        {
            _files.Remove(descriptor, out file);
        }

        if (file is null)
        {
            return Result.Fail(Errno.EBADF);
        }

        int result = file.RemoveDescriptor();
        close(descriptor);
        return result;
    }

    /// <summary>Forgets all files that <paramref name="which"/> names, and closes them.</summary>
    public void CloseAll(Predicate<OpenFile> which)
    {
        List<int> gone = [];
        lock (_gate)
        {
            foreach ((int descriptor, OpenFile file) in _files)
            {
                if (which(file))
                {
                    gone.Add(descriptor);
                }
            }
        }

        gone.ForEach(d => Close(d));
    }
}
