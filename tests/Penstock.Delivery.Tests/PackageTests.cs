using System.IO.Compression;
using System.Reflection.Metadata;
using System.Text;
using System.Xml.Linq;

namespace Penstock.Delivery.Tests;

/// <summary>What is in the packages, and that a project outside of the repository, and a tool's user, can work with them.</summary>
public sealed class PackageTests(PackageFeed feed) : IClassFixture<PackageFeed>
{
    public static TheoryData<string> Packages => ["Penstock", "Penstock.Tun", "Penstock.AspNetCore", "Penstock.Testing", "Penstock.Drill", "Penstock.Tool"];

    [Theory]
    [MemberData(nameof(Packages))]
    public void A_package_says_what_it_is(string package)
    {
        (XElement metadata, IReadOnlyList<string> files) = feed.Open(package);

        string Text(string name) => metadata.Elements().Single(element => element.Name.LocalName == name).Value;
        Assert.Equal(package, Text("id"));
        Assert.Equal("MIT", Text("license"));
        Assert.Equal("README.md", Text("readme"));
        Assert.True(Text("description").Length > 40);
        Assert.NotEmpty(Text("tags").Split(' '));
        Assert.Equal("git", metadata.Elements().Single(element => element.Name.LocalName == "repository").Attribute("type")!.Value);
        Assert.Contains("README.md", files);
        Assert.Contains(files, file => file.EndsWith($"/{package}.dll", StringComparison.Ordinal));
        Assert.Contains(files, file => file.EndsWith($"/{package}.xml", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Packages))]
    public void Its_symbols_name_sources_that_others_can_find(string package)
    {
        using ZipArchive archive = ZipFile.OpenRead(feed.File(package, "snupkg"));
        using Stream stream = archive.Entries.Single(entry => entry.Name == $"{package}.pdb").Open();
        using var copy = new MemoryStream();
        stream.CopyTo(copy);
        copy.Position = 0;
        using MetadataReaderProvider symbols = MetadataReaderProvider.FromPortablePdbStream(copy);
        MetadataReader reader = symbols.GetMetadataReader();
        string[] sources = [.. reader.Documents.Select(handle => reader.GetString(reader.GetDocument(handle).Name))];

        Assert.NotEmpty(sources);
        if (Environment.GetEnvironmentVariable("CI") == "true")
        {
            Assert.All(sources, source => Assert.StartsWith("/_", source, StringComparison.Ordinal));
        }

        // Generated files are in no repository: their text is in the symbols.
        Assert.All(
            reader.Documents.Where(handle => reader.GetString(reader.GetDocument(handle).Name).Contains("/obj/", StringComparison.Ordinal)),
            handle => Assert.Contains(reader.GetCustomDebugInformation(handle), info => reader.GetGuid(reader.GetCustomDebugInformation(info).Kind) == new Guid("0E8A571B-6926-466E-B4AD-8AB04611F5FE")));
    }

    [Fact]
    public void Packages_want_each_other_in_exactly_their_own_version()
    {
        // They use each other's internals.
        foreach (string package in (string[])["Penstock.Tun", "Penstock.AspNetCore", "Penstock.Testing", "Penstock.Drill"])
        {
            XElement dependency = feed.Open(package).Metadata.Descendants().Single(element => element.Name.LocalName == "dependency");
            Assert.Equal(("Penstock", $"[{feed.Version}]"), (dependency.Attribute("id")!.Value, dependency.Attribute("version")!.Value));
        }

        Assert.DoesNotContain(feed.Open("Penstock").Metadata.Descendants(), element => element.Name.LocalName == "dependency");
    }

    [Fact]
    public async Task A_project_elsewhere_runs_the_readmes_lines()
    {
        using TemporaryFolder folder = Project("Microsoft.NET.Sdk", "Penstock");
        await File.WriteAllTextAsync(Path.Combine(folder.Path, "Program.cs"), FirstBlock("README.md"), TestContext.Current.CancellationToken);

        string output = await RunAsync(folder);

        Assert.Matches(@"^hello over 20 ms and 2 % loss; round trip \d+\.\d ms\s*$", output);
    }

    [Fact]
    public async Task A_project_elsewhere_uses_all_libraries_together()
    {
        using TemporaryFolder folder = Project("Microsoft.NET.Sdk.Web", "Penstock.AspNetCore", "Penstock.Testing", "Penstock.Drill", "Penstock.Tun");
        const string Program = """
            using System.Net;
            using Penstock;
            using Penstock.Drill;
            using Penstock.Testing;

            await using var net = new VirtualNetwork(seed: 42);
            var (client, server) = net.CreatePair(new CableOptions { Delay = TimeSpan.FromMilliseconds(5) });
            WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
            builder.Logging.ClearProviders();
            builder.WebHost.UsePenstock(server.Stack).UseUrls("http://*:80");
            await using WebApplication app = builder.Build();
            app.MapGet("/", () => "water");
            await app.StartAsync();
            using HttpClient http = client.CreateHttpClient(new Uri("http://server"));
            Console.WriteLine(await http.GetStringAsync("/"));
            Console.WriteLine(DrillRunner.Run(Script.Parse("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3")).Outcome);
            Console.WriteLine(TunLink.IsSupported == OperatingSystem.IsLinux() ? "asked" : "odd");
            await app.StopAsync();
            """;
        await File.WriteAllTextAsync(Path.Combine(folder.Path, "Program.cs"), Program, TestContext.Current.CancellationToken);

        string output = await RunAsync(folder);

        Assert.Equal(["water", "Passed", "asked"], output.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public async Task The_tool_is_installed_and_runs()
    {
        using var folder = new TemporaryFolder();
        string tools = Path.Combine(folder.Path, "tools");
        await Repository.RunAsync(folder.Path, "dotnet", "tool", "install", "Penstock.Tool", "--tool-path", tools, "--source", feed.Path, "--version", feed.Version);
        string penstock = Path.Combine(tools, OperatingSystem.IsWindows() ? "penstock.exe" : "penstock");

        Assert.Contains("penstock serve --root", await Repository.RunAsync(folder.Path, penstock, "--help"), StringComparison.Ordinal);
        Assert.Contains("E5", await Repository.RunAsync(folder.Path, penstock, "demo", "backlog", "E5"), StringComparison.Ordinal);
    }

    /// <summary>A project that refers to packages of the feed, knows no other feed, and keeps what it restores to itself.</summary>
    private TemporaryFolder Project(string sdk, params string[] packages)
    {
        var folder = new TemporaryFolder();
        var references = new StringBuilder();
        foreach (string package in packages)
        {
            references.AppendLine($"""    <PackageReference Include="{package}" Version="{feed.Version}" />""");
        }

        File.WriteAllText(Path.Combine(folder.Path, "Elsewhere.csproj"), $"""
            <Project Sdk="{sdk}">
              <PropertyGroup>
                <TargetFramework>net10.0</TargetFramework>
                <OutputType>Exe</OutputType>
                <Nullable>enable</Nullable>
                <ImplicitUsings>enable</ImplicitUsings>
                <TreatWarningsAsErrors>true</TreatWarningsAsErrors>
                <RestoreSources>{feed.Path}</RestoreSources>
                <RestorePackagesPath>{Path.Combine(folder.Path, "packages")}</RestorePackagesPath>
              </PropertyGroup>
              <ItemGroup>
            {references}
              </ItemGroup>
            </Project>
            """);
        return folder;
    }

    private static async Task<string> RunAsync(TemporaryFolder project)
    {
        await Repository.RunAsync(project.Path, "dotnet", "build", "-v", "quiet");
        return await Repository.RunAsync(project.Path, "dotnet", "run", "--no-build");
    }

    private static string FirstBlock(string page)
    {
        string text = File.ReadAllText(Repository.PathTo(page)).ReplaceLineEndings("\n");
        string block = text[(text.IndexOf("```csharp\n", StringComparison.Ordinal) + 10)..];
        return block[..block.IndexOf("```", StringComparison.Ordinal)];
    }
}
