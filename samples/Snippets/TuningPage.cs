using Penstock;

namespace Snippets;

/// <summary>docs/tuning.md</summary>
public class TuningPage
{
    [Fact]
    public async Task Settings_have_Linuxs_names()
    {
        await using var stack = new NetworkStack();
        string file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, "# of a server\nnet.ipv4.tcp_congestion_control = reno\n-net.ipv4.no_such_setting = 1\n");

        stack.Sysctl.Set("net.ipv4.tcp_rmem", "4096 131072 16777216");
        string control = stack.Sysctl.Get("net.ipv4.tcp_congestion_control");
        stack.Sysctl.Load(file);                              // a file like those of /etc/sysctl.d

        File.Delete(file);
        Assert.Equal("cubic", control);
        Assert.Equal("reno", stack.Sysctl.Get("net.ipv4.tcp_congestion_control"));
        Assert.Equal("4096 131072 16777216".Split(' '), stack.Sysctl.Get("net.ipv4.tcp_rmem").Split(' ', '\t'));
    }
}
