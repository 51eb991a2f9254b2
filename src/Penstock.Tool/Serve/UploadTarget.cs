namespace Penstock.Tool.Serve;

/// <summary>
/// Turns the path of a PUT into a file below the root, or into the reason why not. Never follows a link, never goes above the root, never creates a folder.
/// </summary>
internal readonly struct UploadTarget
{
    private static readonly char[] s_refused = [.. Path.GetInvalidFileNameChars(), '\\', ':'];

    private UploadTarget(string? file, int status, string reason)
    {
        File = file;
        Status = status;
        Reason = reason;
    }

    /// <summary>The full path, or null when the upload is refused.</summary>
    public string? File { get; }

    /// <summary>The HTTP status of the refusal.</summary>
    public int Status { get; }

    /// <summary>One line for the client.</summary>
    public string Reason { get; }

    /// <param name="root">Full path of the root.</param>
    /// <param name="path">The request's path, decoded, beginning with a slash.</param>
    public static UploadTarget Resolve(string root, string path)
    {
        string[] names = path.Split('/');
        if (names.Length < 2 || names[0].Length > 0 || names[^1].Length == 0)
        {
            return Refuse(400, "The path names a folder. Add the file's name.");
        }

        string current = root;
        for (int i = 1; i < names.Length; i++)
        {
            string name = names[i];
            if (name.Length == 0 || name.AsSpan().ContainsAny(s_refused))
            {
                return Refuse(400, "The path has an empty name or a character that a name cannot have.");
            }

            // Covers "." and "..". Hidden files are not served either.
            if (name[0] == '.')
            {
                return Refuse(403, "Names that begin with a dot are not accepted.");
            }

            current = Path.Combine(current, name);
            if (i == names.Length - 1)
            {
                break;
            }

            var folder = new DirectoryInfo(current);
            if (!folder.Exists)
            {
                return Refuse(409, $"There is no folder '{name}'. Create it first.");
            }

            if (folder.LinkTarget is not null)
            {
                return Refuse(403, $"The folder '{name}' is a link; uploads do not follow links.");
            }
        }

        return Directory.Exists(current) ? Refuse(409, "That is a folder. Add the file's name.") : new UploadTarget(current, 0, "");
    }

    private static UploadTarget Refuse(int status, string reason) => new(null, status, reason);
}
