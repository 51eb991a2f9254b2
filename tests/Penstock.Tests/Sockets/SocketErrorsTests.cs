using System.Net.Sockets;
using Penstock.Drill;
using Penstock.Sockets;

namespace Penstock.Tests.Sockets;

public class SocketErrorsTests
{
    public static TheoryData<string, string> Rows()
    {
        var rows = new TheoryData<string, string>();
        foreach ((SocketError error, Errno number) in SocketErrors.Table)
        {
            rows.Add(error.ToString(), number.ToString());
        }

        return rows;
    }

    [Theory]
    [MemberData(nameof(Rows))]
    public void Each_row_leads_both_ways_and_stands_in_the_documentation(string errorName, string numberName)
    {
        var error = Enum.Parse<SocketError>(errorName);
        var number = Enum.Parse<Errno>(numberName);
        Assert.Equal(number, SocketErrors.ToErrno(error));
        Assert.Equal(error, SocketErrors.ToSocketError(number));
        if (error != SocketError.Success)
        {
            string page = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "docs", "errors.md"));
            Assert.Contains($"| `{errorName}` | `{numberName}` | {(int)number} |", page, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_numbers_are_those_that_scripts_know_by_name()
    {
        foreach (Errno number in Enum.GetValues<Errno>())
        {
            if (number != Errno.None)
            {
                Assert.True(Symbols.TryGet(number.ToString(), out long value));
                Assert.Equal((long)number, value);
            }
        }
    }

    [Fact]
    public void An_error_outside_the_table_is_still_an_error()
    {
        Assert.Equal(Errno.EINVAL, SocketErrors.ToErrno(SocketError.HostNotFound));
        Assert.Equal(SocketError.SocketError, SocketErrors.ToSocketError(Errno.EMFILE + 1));
    }
}
