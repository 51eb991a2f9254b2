using System.IO.Enumeration;

namespace Penstock.Tool.Drill;

/// <summary>A script to run: where it is, and how messages call it.</summary>
internal sealed record ScriptFile(string Path, string Name);

/// <summary>Finds the scripts that a command line means.</summary>
internal static class ScriptFiles
{
    private const string Extension = ".pkt";

    public static IReadOnlyList<ScriptFile> Find(IReadOnlyList<string> paths, string? filter)
    {
        var found = new List<ScriptFile>();
        foreach (string path in paths)
        {
            if (File.Exists(path))
            {
                found.Add(new ScriptFile(path, Name(path)));
            }
            else if (Directory.Exists(path))
            {
                int before = found.Count;
                foreach (string file in Directory.EnumerateFiles(path, "*" + Extension, SearchOption.AllDirectories).Order(StringComparer.Ordinal))
                {
                    found.Add(new ScriptFile(file, Name(file)));
                }

                if (found.Count == before)
                {
                    throw ToolFailure.Usage($"There is no *{Extension} in '{path}'.");
                }
            }
            else
            {
                throw ToolFailure.Usage($"There is no file or folder '{path}'. Name a script such as handshake{Extension}, or a folder of them.");
            }
        }

        List<ScriptFile> chosen = found.FindAll(script => Fits(script.Name, filter));
        return chosen.Count > 0 ? chosen : throw ToolFailure.Usage($"--filter '{filter}' leaves none of the {found.Count} scripts.");
    }

    private static string Name(string path) => path.Replace('\\', '/');

    private static bool Fits(string name, string? filter) =>
        string.IsNullOrEmpty(filter)
        || (filter.AsSpan().IndexOfAny('*', '?') < 0
            ? name.Contains(filter, StringComparison.Ordinal)
            : FileSystemName.MatchesSimpleExpression("*" + filter, name, ignoreCase: false)
                || FileSystemName.MatchesSimpleExpression("*" + filter, name.AsSpan(0, Math.Max(0, name.Length - Extension.Length)), ignoreCase: false));
}
