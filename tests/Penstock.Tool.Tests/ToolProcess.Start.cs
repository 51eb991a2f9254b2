namespace Penstock.Tool.Tests;

internal sealed partial class ToolProcess
{
    /// <summary>Starts the <c>penstock</c> command.</summary>
    public static ToolProcess Start(string? networkNamespace, params string[] arguments) =>
        Launch(typeof(PenstockCommand).Assembly.Location, networkNamespace, arguments);
}
