namespace Penstock.Tests.Drill;

/// <summary>Every script of tests/drill, against the stack, in virtual time.</summary>
public class DrillScriptTests
{
    private static string Folder => Path.Combine(AppContext.BaseDirectory, "drill");

    public static TheoryData<string> Scripts()
    {
        var scripts = new TheoryData<string>();
        foreach (string file in Directory.EnumerateFiles(Folder, "*.pkt", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            scripts.Add(Path.GetRelativePath(Folder, file).Replace('\\', '/'));
        }

        return scripts;
    }

    [Theory]
    [MemberData(nameof(Scripts))]
    public void The_stack_does_what_the_script_expects(string script) =>
        Drill.Run(File.ReadAllText(Path.Combine(Folder, script)), script);
}
