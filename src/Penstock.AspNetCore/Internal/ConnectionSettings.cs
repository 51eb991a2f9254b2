using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Penstock.AspNetCore.Internal;

/// <summary>
/// What all connections of one listener, or of one client factory, share: the memory pool, the pipes' options, the log, and the numbers that connection ids are made of.
/// </summary>
internal sealed class ConnectionSettings : IDisposable
{
    private readonly MemoryPool<byte> _pool;
    private readonly bool _ownsPool;
    private readonly string _idPrefix;
    private long _connections;

    public ConnectionSettings(NetworkStack stack, PenstockTransportOptions options, IMemoryPoolFactory<byte>? pools, ILogger log)
    {
        Log = log;
        WaitForData = options.WaitForDataBeforeAllocatingBuffer;
        Inline = options.UnsafePreferInlineScheduling;
        _ownsPool = pools is not null;
        _pool = pools?.Create(new MemoryPoolOptions { Owner = "penstock" }) ?? MemoryPool<byte>.Shared;
        // The stack's name alone would not do: two processes, or two listeners, would write the same ids into one log.
        _idPrefix = $"{stack.Name}-{stack.Random.NextUInt32():x8}-";

        // The receive loop runs on the pool already, but the application must not hold it up; the send loop does nothing that could wait, so it runs where the application flushes.
        PipeScheduler application = Inline ? PipeScheduler.Inline : PipeScheduler.ThreadPool;
        long maxRead = options.MaxReadBufferSize ?? 0;
        long maxWrite = options.MaxWriteBufferSize ?? 0;
        InputOptions = new PipeOptions(_pool, application, PipeScheduler.Inline, maxRead, maxRead / 2, useSynchronizationContext: false);
        OutputOptions = new PipeOptions(_pool, PipeScheduler.Inline, application, maxWrite, maxWrite / 2, useSynchronizationContext: false);
    }

    public ILogger Log { get; }

    public bool WaitForData { get; }

    public bool Inline { get; }

    public MemoryPool<byte> Pool => _pool;

    public PipeOptions InputOptions { get; }

    public PipeOptions OutputOptions { get; }

    public string NextConnectionId() => $"{_idPrefix}{Interlocked.Increment(ref _connections):x}";

    public void Dispose()
    {
        if (_ownsPool)
        {
            _pool.Dispose();
        }
    }
}
