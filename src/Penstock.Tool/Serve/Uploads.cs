using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http;

namespace Penstock.Tool.Serve;

/// <summary>
/// Answers PUT: the body goes to a hidden file next to the target and takes its name when it is complete, so that a reader sees the old file or the new one and
/// never a part. Files that ASP.NET Core serves are left to it.
/// </summary>
internal static class Uploads
{
    public static async Task PutAsync(HttpContext context, string root)
    {
        HttpRequest request = context.Request;
        if (request.Headers.ContentRange.Count > 0)
        {
            // RFC 9110 14.5: a server that does not support partial PUT must not take the part for the whole.
            await AnswerAsync(context, 400, "A part of a file is not accepted. Send the whole.").ConfigureAwait(false);
            return;
        }

        UploadTarget target = UploadTarget.Resolve(root, request.Path.Value ?? "/");
        if (target.File is null)
        {
            await AnswerAsync(context, target.Status, target.Reason).ConfigureAwait(false);
            return;
        }

        string part = Path.Combine(Path.GetDirectoryName(target.File)!, $".penstock-{Path.GetRandomFileName()}");
        try
        {
            var file = new FileStream(part, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 1, useAsync: true);
            await using (file.ConfigureAwait(false))
            {
                await request.BodyReader.CopyToAsync(file, context.RequestAborted).ConfigureAwait(false);
            }

            bool existed = File.Exists(target.File);
            File.Move(part, target.File, overwrite: true);
            await AnswerAsync(context, existed ? 200 : 201, existed ? "Replaced." : "Created.").ConfigureAwait(false);
        }
        catch (Exception gone) when (gone is ConnectionResetException or OperationCanceledException)
        {
            // The client has left; there is nobody to answer, and nothing to drain for the next request.
            Delete(part);
            context.Abort();
        }
        catch (UnauthorizedAccessException)
        {
            Delete(part);
            await AnswerAsync(context, 403, "The server may not write there.").ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is IOException and not BadHttpRequestException)
        {
            Delete(part);
            await AnswerAsync(context, 507, $"The file could not be stored: {failure.Message}").ConfigureAwait(false);
        }
        catch
        {
            Delete(part);
            throw;
        }
    }

    /// <summary>A one-line answer in plain text.</summary>
    public static async Task AnswerAsync(HttpContext context, int status, string line)
    {
        if (!context.Response.HasStarted)
        {
            context.Response.StatusCode = status;
            context.Response.ContentType = "text/plain; charset=utf-8";
            await context.Response.WriteAsync(line + "\n", CancellationToken.None).ConfigureAwait(false);
        }
    }

    private static void Delete(string part)
    {
        try
        {
            File.Delete(part);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // It is hidden and unserved; the failure that led here is the one to tell.
        }
    }
}
