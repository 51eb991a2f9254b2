using System.Diagnostics;

namespace Penstock.Fuzz;

/// <summary>Runs a target with random inputs for some time, or with one input: what CI, a crash to be repeated and a coverage-guided fuzzer have in common.</summary>
public static class FuzzRunner
{
    /// <summary>The targets by name.</summary>
    public static IReadOnlyDictionary<string, Action<byte[]>> Targets { get; } = new Dictionary<string, Action<byte[]>>
    {
        ["parsers"] = input => ParserExercise.Everything(input),
        ["ipv4"] = input => ParserExercise.Packet(input),
        ["tcp-header"] = input => ParserExercise.Tcp(input),
        ["tcp-options"] = input =>
        {
            ParserExercise.Options(input, isSyn: true);
            ParserExercise.Options(input, isSyn: false);
        },
        ["udp"] = input => ParserExercise.Udp(input),
        ["icmp"] = input => ParserExercise.Icmp(input),
        ["tcp"] = TcpTarget.Run,
        ["pair"] = PairTarget.Run,
    };

    /// <summary>
    /// Feeds random inputs to a target until the time is over. The same seed gives the same inputs. Returns how many ran; a failure is thrown with the input in hexadecimal, made shorter as
    /// far as it keeps failing.
    /// </summary>
    public static long Run(string target, TimeSpan duration, ulong seed, long limit = long.MaxValue)
    {
        Action<byte[]> body = Find(target);
        var clock = Stopwatch.StartNew();
        long executions = 0;
        while (clock.Elapsed < duration && executions < limit)
        {
            byte[] input = Input(target, seed + (ulong)executions);
            try
            {
                body(input);
            }
            catch (Exception failure)
            {
                byte[] small = Shorten(body, input);
                throw new FuzzFailureException(
                    $"Target {target}, seed {seed + (ulong)executions}: {failure.Message} Repeat with this input, {small.Length} bytes: {Convert.ToHexString(small)}", failure);
            }

            executions++;
        }

        return executions;
    }

    /// <summary>Runs one input.</summary>
    public static void RunOne(string target, byte[] input) => Find(target)(input);

    private static Action<byte[]> Find(string target) =>
        Targets.TryGetValue(target, out Action<byte[]>? body)
            ? body
            : throw new ArgumentException($"There is no target '{target}'. Choose one of: {string.Join(", ", Targets.Keys)}.", nameof(target));

    private static byte[] Input(string target, ulong seed)
    {
        var random = new Random((int)(seed ^ (seed >> 32)));
        byte[] input = new byte[target is not ("tcp" or "pair") ? random.Next(120) : random.Next(40, random.Next(4) == 0 ? 4000 : 600)];
        random.NextBytes(input);
        if (target is "parsers" or "ipv4" && input.Length > 20 && random.Next(2) == 0)
        {
            // Past the first checks, so that the ones behind them are reached.
            input[0] = (byte)(0x45 + random.Next(2));
            input[2] = 0;
            input[3] = (byte)random.Next(20, input.Length + 1);
            input[9] = (byte)(random.Next(3) switch { 0 => 1, 1 => 6, _ => 17 });
        }

        return input;
    }

    private static byte[] Shorten(Action<byte[]> body, byte[] input)
    {
        int step = input.Length / 2;
        while (step > 0)
        {
            bool shorter = false;
            for (int at = 0; at + step <= input.Length; at += step)
            {
                byte[] less = [.. input[..at], .. input[(at + step)..]];
                if (Fails(body, less))
                {
                    input = less;
                    shorter = true;
                    at -= step;
                }
            }

            step = shorter ? step : step / 2;
        }

        return input;
    }

    private static bool Fails(Action<byte[]> body, byte[] input)
    {
        try
        {
            body(input);
            return false;
        }
        catch (Exception)
        {
            return true;
        }
    }
}
