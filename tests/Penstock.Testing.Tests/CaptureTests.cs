namespace Penstock.Testing.Tests;

public sealed class CaptureTests : IDisposable
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), "penstock-testing-" + Guid.NewGuid().ToString("N"));

    public void Dispose()
    {
        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    [Theory]
    [InlineData(false, false, true)]
    [InlineData(false, true, true)]
    [InlineData(true, false, true)]
    [InlineData(true, true, false)]
    public async Task A_capture_that_is_wanted_on_failure_only_goes_when_the_test_says_that_it_passed(bool onlyOnFailure, bool passed, bool kept)
    {
        string path = Path.Combine(_folder, "deep", "run.pcapng");
        var net = new VirtualNetwork(seed: 1);
        net.CaptureTo(path, onlyOnFailure);
        var (client, server) = net.CreatePair();
        (TcpSocket near, TcpSocket far) = await Exchange.ConnectAsync(client, server);
        await Exchange.TransferAsync(near, far, 1000);
        string[] files = [.. net.CaptureFiles];
        Assert.Equal(["run.client-server.client.pcapng", "run.client-server.server.pcapng"], files.Select(Path.GetFileName));
        if (passed)
        {
            net.Passed();
        }

        await net.DisposeAsync();
        Assert.All(files, file => Assert.Equal(kept, File.Exists(file)));
        if (kept)
        {
            // A section header, and the payload somewhere behind it.
            Assert.All(files, file => Assert.Equal([0x0A, 0x0D, 0x0D, 0x0A], File.ReadAllBytes(file)[..4]));
            Assert.All(files, file => Assert.True(new FileInfo(file).Length > 1000));
        }
    }

    [Fact]
    public async Task An_exception_in_the_middle_of_a_test_keeps_the_capture()
    {
        string path = Path.Combine(_folder, "failed.pcapng");
        await Assert.ThrowsAsync<InvalidOperationException>(async () =>
        {
            await using var net = new VirtualNetwork(seed: 1);
            net.CaptureTo(path, onlyOnFailure: true);
            net.CreatePair();
            throw new InvalidOperationException("The test fails here.");
#pragma warning disable CS0162 // what a passing test would do
            net.Passed();
#pragma warning restore CS0162
        });
        Assert.Equal(2, Directory.GetFiles(_folder).Length);
    }

    [Fact]
    public async Task A_capture_begins_before_the_first_cable()
    {
        await using var net = new VirtualNetwork();
        net.CreatePair();
        Assert.Contains("before the first cable", Assert.Throws<InvalidOperationException>(() => net.CaptureTo(Path.Combine(_folder, "late.pcapng"))).Message);
        await using var twice = new VirtualNetwork();
        twice.CaptureTo(Path.Combine(_folder, "one.pcapng"));
        Assert.Contains("already", Assert.Throws<InvalidOperationException>(() => twice.CaptureTo(Path.Combine(_folder, "two.pcapng"))).Message);
    }

    [Fact]
    public async Task A_capture_that_can_not_be_written_fails_before_anything_is_connected()
    {
        Directory.CreateDirectory(_folder);
        string file = Path.Combine(_folder, "file");
        await File.WriteAllTextAsync(file, "in the way", TestContext.Current.CancellationToken);
        await using var net = new VirtualNetwork();
        Assert.ThrowsAny<IOException>(() => net.CaptureTo(Path.Combine(file, "x.pcapng")));
        net.CaptureTo(Path.Combine(_folder, "x.pcapng"));
        Directory.CreateDirectory(Path.Combine(_folder, "x.a-b.b.pcapng"));
        VirtualHost a = net.AddHost("a");
        VirtualHost b = net.AddHost("b");
        Assert.ThrowsAny<Exception>(() => net.Connect(a, b));
        Assert.Empty(net.Cables);
        Assert.Empty(a.Addresses);
    }
}
