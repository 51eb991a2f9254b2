using System.Globalization;
using Penstock.Fuzz;
using SharpFuzz;

// The command line of the fuzzer; docs/fuzzing.md says how to use it.
const string Usage = """
    Penstock.Fuzz run [--seconds N] [--seed S] [TARGET...]   random inputs for N seconds a target (20)
    Penstock.Fuzz repro TARGET FILE                          one input, from a file or as hexadecimal digits
    Penstock.Fuzz afl TARGET                                 under AFL++, with the core instrumented by SharpFuzz
    """;

if (args.Length == 0)
{
    Console.Error.WriteLine(Usage);
    return 2;
}

switch (args[0])
{
    case "run":
        return RunRandom(args[1..]);
    case "repro" when args.Length == 3:
        FuzzRunner.RunOne(args[1], File.Exists(args[2]) ? File.ReadAllBytes(args[2]) : Convert.FromHexString(args[2]));
        Console.WriteLine("No failure.");
        return 0;
    case "afl" when args.Length == 2:
        Fuzzer.OutOfProcess.Run(stream =>
        {
            using var copy = new MemoryStream();
            stream.CopyTo(copy);
            FuzzRunner.RunOne(args[1], copy.ToArray());
        });
        return 0;
    default:
        Console.Error.WriteLine(Usage);
        return 2;
}

static int RunRandom(string[] args)
{
    double seconds = 20;
    ulong seed = (ulong)Environment.TickCount64;
    var targets = new List<string>();
    for (int i = 0; i < args.Length; i++)
    {
        switch (args[i])
        {
            case "--seconds" when i + 1 < args.Length:
                seconds = double.Parse(args[++i], CultureInfo.InvariantCulture);
                break;
            case "--seed" when i + 1 < args.Length:
                seed = ulong.Parse(args[++i], CultureInfo.InvariantCulture);
                break;
            default:
                targets.Add(args[i]);
                break;
        }
    }

    int failures = 0;
    foreach (string target in targets.Count > 0 ? targets : FuzzRunner.Targets.Keys)
    {
        try
        {
            long executions = FuzzRunner.Run(target, TimeSpan.FromSeconds(seconds), seed);
            Console.WriteLine($"{target}: seed {seed}, {executions} executions, no failure");
        }
        catch (FuzzFailureException failure)
        {
            Console.WriteLine(failure.Message);
            Console.Error.WriteLine(failure);
            failures++;
        }
    }

    return failures == 0 ? 0 : 1;
}
