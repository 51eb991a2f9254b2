using System.Buffers;
using System.Buffers.Binary;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Text;
using Penstock;

namespace Snippets;

/// <summary>docs/streams-and-pipes.md</summary>
public class StreamsAndPipesPage
{
    [Fact]
    public async Task A_pipe_hands_out_messages_where_they_lie()
    {
        await using Pair pair = await Pair.ConnectAsync();
        TcpSocket socket = pair.Far;
        List<string> handled = [];
        await pair.Near.SendAsync("one\ntwo\nthree\n"u8.ToArray());
        await pair.Near.ShutdownAsync(SocketShutdown.Send);

        IDuplexPipe pipe = socket.AsPipe();
        while (true)
        {
            ReadResult result = await pipe.Input.ReadAsync();
            ReadOnlySequence<byte> rest = result.Buffer;
            while (TryParse(ref rest, out Message message))
            {
                Handle(message);
            }

            pipe.Input.AdvanceTo(rest.Start, rest.End);   // consumed, examined
            if (result.IsCompleted)
            {
                break;
            }
        }

        await pipe.Input.CompleteAsync();

        Assert.Equal(["one", "two", "three"], handled);

        void Handle(Message message) => handled.Add(message.Text);
    }

    [Fact]
    public async Task A_file_is_sent()
    {
        await using Pair pair = await Pair.ConnectAsync();
        TcpSocket socket = pair.Near;

        long sent = await socket.SendFileAsync("page.html");

        Assert.Equal(await File.ReadAllBytesAsync("page.html"), await Pair.ReadAsync(pair.Far, (int)sent));
    }

    [Fact]
    public async Task Records_are_made_in_the_stacks_own_memory()
    {
        await using Pair pair = await Pair.ConnectAsync();
        TcpSocket socket = pair.Near;
        int records = 100;
        var first = new Counter();

        await socket.SendAsync(records * 16, first, static (span, state) => Write(span, state));

        byte[] received = await Pair.ReadAsync(pair.Far, records * 16);
        Assert.Equal(Enumerable.Range(0, records * 4), Enumerable.Range(0, records * 4).Select(i => BinaryPrimitives.ReadInt32BigEndian(received.AsSpan(i * 4))));
    }

    private static void Write(Span<byte> span, Counter counter)
    {
        foreach (ref byte place in span)
        {
            place = (byte)(counter.Bytes / 4 >> (8 * (3 - (counter.Bytes % 4))));
            counter.Bytes++;
        }
    }

    private static bool TryParse(ref ReadOnlySequence<byte> rest, out Message message)
    {
        var reader = new SequenceReader<byte>(rest);
        bool whole = reader.TryReadTo(out ReadOnlySequence<byte> line, (byte)'\n');
        message = whole ? new Message(Encoding.UTF8.GetString(line)) : default;
        rest = rest.Slice(reader.Position);
        return whole;
    }

    private readonly record struct Message(string Text);

    private sealed class Counter
    {
        public int Bytes { get; set; }
    }
}
