namespace Penstock.Tool.Tests;

/// <summary>How the process ends.</summary>
public sealed class SignalTests
{
    private const int Interrupt = 2;
    private const int Terminate = 15;

    [Theory]
    [InlineData(Interrupt)]
    [InlineData(Terminate)]
    public async Task A_signal_ends_it_gracefully(int signal)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), "Signals as these exist on Unix only.");
        CancellationToken cancel = TestContext.Current.CancellationToken;
        using ToolProcess tool = ToolProcess.Start(null, "serve", "--listen", "127.0.0.1:0");
        string output = await tool.ReadyAsync(cancel);

        int code = await tool.SignalAsync(signal, cancel);

        Assert.Equal(PenstockCommand.Success, code);
        Assert.Contains("http://127.0.0.1:", output, StringComparison.Ordinal);
        Assert.DoesNotContain("xception", tool.Error, StringComparison.Ordinal);
    }
}
