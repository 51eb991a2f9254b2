using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using Penstock.Tool.Demo;
using Penstock.Tool.Perf;
using Penstock.Tool.Serve;

namespace Penstock.Tool;

/// <summary>
/// The command line as a whole: its verbs, how wrong arguments are answered, and which exit code means what. Results go to the output given, logs and failures
/// to the error output; nothing here writes to the console itself, so that tests can run it.
/// </summary>
internal static class PenstockCommand
{
    /// <summary>Ended as asked, by Ctrl-C and SIGTERM too.</summary>
    public const int Success = 0;

    /// <summary>The machine did not allow it, or something broke.</summary>
    public const int Failure = 1;

    /// <summary>The arguments are wrong.</summary>
    public const int UsageError = 2;

    /// <summary>Runs one command line to its end.</summary>
    /// <param name="arguments">What stands behind <c>penstock</c>.</param>
    /// <param name="output">For results.</param>
    /// <param name="error">For logs, progress and failures.</param>
    /// <param name="stop">Ends the command gracefully.</param>
    public static async Task<int> InvokeAsync(string[] arguments, TextWriter output, TextWriter error, CancellationToken stop)
    {
        ParseResult parsed = Parse(arguments);
        if (parsed.Errors.Count > 0 && parsed.Action is not (HelpAction or ExamplesHelp))
        {
            string verb = $"{Path(parsed.CommandResult)} --help";

            // A mistyped verb is also a missing one: the word itself says more.
            string what = parsed.UnmatchedTokens.Count > 0 ? $"'{parsed.UnmatchedTokens[0]}' is not known here." : OneLine(parsed.Errors[0].Message);
            await error.WriteLineAsync($"penstock: {what} See '{verb}'.").ConfigureAwait(false);
            return UsageError;
        }

        // Signals are the caller's: System.CommandLine's own handling would end the process after two seconds, in the middle of a transfer.
        var configuration = new InvocationConfiguration { Output = output, Error = error, EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null };
        try
        {
            return await parsed.InvokeAsync(configuration, stop).ConfigureAwait(false);
        }
        catch (ToolFailure failure)
        {
            await error.WriteLineAsync($"penstock: {OneLine(failure.Message)}").ConfigureAwait(false);
            return failure.ExitCode;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return Success;
        }
    }

    /// <summary>Understands one command line and runs nothing.</summary>
    public static ParseResult Parse(string[] arguments) => Build().Parse(arguments);

    private static RootCommand Build()
    {
        var root = new RootCommand("A TCP/IP stack for .NET in user space: try it, and watch it work.")
        {
            ServeCommand.Build(),
            DemoCommand.Build(),
            PerfCommand.Build(),
        };
        foreach (Option option in root.Options)
        {
            if (option is HelpOption { Action: HelpAction help } found)
            {
                found.Action = new ExamplesHelp(help);
            }
        }

        return root;
    }

    /// <summary>The words that lead to a verb: <c>penstock demo backlog</c>.</summary>
    private static string Path(CommandResult result) =>
        result.Parent is CommandResult parent ? $"{Path(parent)} {result.Command.Name}" : "penstock";

    private static string OneLine(string message) => message.ReplaceLineEndings(" ").Trim();

    /// <summary>The usual help, followed by examples for the verb.</summary>
    private sealed class ExamplesHelp(HelpAction inner) : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            int code = inner.Invoke(parseResult);
            Command verb = parseResult.CommandResult.Command;
            string examples = verb.Name == ServeCommand.Name ? ServeCommand.Examples
                : verb is RootCommand ? $"{ServeCommand.Examples}\n{AfterFirstLine(DemoCommand.ExamplesFor(verb))}\n{AfterFirstLine(PerfCommand.Examples)}"
                : verb.Name == PerfCommand.Name || verb.Parents.Any(parent => parent.Name == PerfCommand.Name) ? PerfCommand.Examples
                : DemoCommand.ExamplesFor(verb);
            parseResult.InvocationConfiguration.Output.WriteLine(examples);
            return code;
        }

        private static string AfterFirstLine(string text) => text[(text.IndexOf('\n', StringComparison.Ordinal) + 1)..];
    }
}
