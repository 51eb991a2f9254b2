using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace Penstock.Tool;

/// <summary>How every verb reads an option's text: either it is understood, or the parse error names the option, what was written and what to write instead.</summary>
internal static class OptionText
{
    public delegate bool TryParse<T>(string text, out T value);

    public static T Parse<T>(ArgumentResult result, TryParse<T> parse, string form)
    {
        string text = result.Tokens[0].Value;
        if (!parse(text, out T value))
        {
            result.AddError($"{NameOf(result)} '{text}' is not understood. {form}");
        }

        return value;
    }

    public static int ParseNumber(ArgumentResult result, int least, int most) => Parse(
        result,
        (string text, out int number) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number >= least && number <= most,
        $"Write a number between {least} and {most}.");

    public static bool IsGiven(ParseResult parsed, Option option) => parsed.GetResult(option) is { Implicit: false };

    private static string NameOf(ArgumentResult result) => result.Parent is OptionResult { Option: { } option } ? option.Name : "The value";
}
