using Penstock.Drill;

namespace Penstock.Tests.Drill;

/// <summary>The shell commands of scripts: what is understood is done to the run's own stack, the rest skips the script with its reason.</summary>
public class ShellCommandTests
{
    private static DrillResult Run(string command, Func<string, string?>? readFile = null) => DrillRunner.Run(
        Script.Parse($"`{command}`\n0 < S 0:0(0) win 1000 <mss 1000,nop,nop,sackOK>\n+0 > R. 0:0(0) ack 1\n"),
        new DrillRunOptions { ReadFile = readFile });

    [Theory]
    [InlineData("sysctl -q net.ipv4.tcp_sack=0")]
    [InlineData("sysctl -q net/ipv4/tcp_sack=0 net.ipv4.tcp_timestamps=0   # and a comment")]
    [InlineData("../common/set_sysctls.py /proc/sys/net/ipv4/tcp_wmem=\"4096 50000 4194304\" \\\n /proc/sys/net/ipv4/tcp_timestamps=0")]
    [InlineData("sysctl -q net.ipv4.tcp_wmem=\"4096 $((256*1024)) 4194304\" > /dev/null 2>&1; true")]
    [InlineData("ip tcp_metrics flush all > /dev/null 2>&1")]
    [InlineData("tc qdisc add dev tun0 root pfifo")]
    [InlineData("ethtool -K tun0 tso off gso off")]
    [InlineData("/tmp/sysctl_restore_${PPID}.sh")]
    [InlineData("../../common/defaults.sh")]
    [InlineData("/bin/rm -f /tmp/file && /bin/dd bs=1 count=5 if=/dev/zero of=/tmp/file status=none")]
    public void What_only_sets_what_the_stack_has_is_done(string command) => Assert.Equal(DrillOutcome.Passed, Run(command).Outcome);

    [Theory]
    [InlineData("rm -rf / && reboot", "'reboot' is not known")]
    [InlineData("sysctl -q net.ipv4.tcp_nonsense=1", "net.ipv4.tcp_nonsense=1 is not known")]
    [InlineData("sysctl -q net.ipv4.tcp_sack=7", "net.ipv4.tcp_sack")]
    [InlineData("tc qdisc replace dev tun0 root netem loss 1%", "netem")]
    [InlineData("tc qdisc add dev tun0 root pfifo limit 0", "could overflow")]
    [InlineData("ip route change 192.0.2.1 dev tun0 advmss 600", "routes")]
    [InlineData("./mine.sh", "there is no file './mine.sh'")]
    [InlineData("dd if=/dev/urandom of=/tmp/x", "if=/dev/urandom")]
    [InlineData("dd if=/dev/zero of=/tmp/x bs=1 count=9999999999", "64 MiB")]
    [InlineData("echo 1 > /proc/sys/kernel/sysrq", "no setting")]
    public void What_it_does_not_have_skips_the_script_with_the_reason(string command, string reason)
    {
        DrillResult result = Run(command);
        Assert.Equal(DrillOutcome.Skipped, result.Outcome);
        Assert.Contains(reason, result.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_beside_the_script_is_read_and_never_run()
    {
        string? Read(string path) => path switch
        {
            "../own.sh" => "#!/bin/bash\n# ours\nsysctl -q net.ipv4.tcp_sack=0\n./more.sh\n",
            "./more.sh" => "touch /tmp/never\n",
            "./loop.sh" => "./loop.sh\n",
            _ => null,
        };
        Assert.Contains("'touch' is not known", Run("../own.sh", Read).Message, StringComparison.Ordinal);
        Assert.Contains("no file './loop.sh'", Run("./loop.sh", Read).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Settings_of_the_run_come_before_the_script_s()
    {
        Script script = Script.Parse("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n+0 < S 0:0(0) win 9 <mss 1000,nop,nop,sackOK>\n+0 > S. 0:0(0) ack 1 <mss 1460>\n");
        var options = new DrillRunOptions();
        Assert.Equal(DrillOutcome.Failed, DrillRunner.Run(script, options).Outcome);
        options.Sysctls["net.ipv4.tcp_sack"] = "0";
        Assert.Equal(DrillOutcome.Passed, DrillRunner.Run(script, options).Outcome);
        options.Sysctls["net.ipv4.tcp_sac"] = "0";
        Assert.Contains("tcp_sack", Assert.Throws<KeyNotFoundException>(() => DrillRunner.Run(script, options)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("0 < S 0:0(0) win 1 <mss 1000,nop,nop,FO>", "Fast Open")]
    [InlineData("0 < S 0:0(0) win 1 <nop,nop,md5 00112233445566778899aabbccddeeff>", "RFC 2385")]
    [InlineData("0 < S 0:0(0) win 1 <nop,nop,nop,ECN e0b 1>", "accurate ECN")]
    [InlineData("0 < udp (100)", "UDP")]
    [InlineData("--ip_version=ipv6\n0 < S 0:0(0) win 1", "IPv4 only")]
    [InlineData("0 socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP) = 3", "IPv4 only")]
    public void What_the_stack_does_not_speak_skips_the_script(string script, string reason)
    {
        DrillResult result = DrillRunner.Run(Script.Parse(script + "\n"));
        Assert.Equal(DrillOutcome.Skipped, result.Outcome);
        Assert.Contains(reason, result.Message, StringComparison.Ordinal);
    }
}
