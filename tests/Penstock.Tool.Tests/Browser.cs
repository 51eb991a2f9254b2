using PuppeteerSharp;
using PuppeteerSharp.Media;

namespace Penstock.Tool.Tests;

/// <summary>A headless Chromium for the tests of a class. <see cref="OpenAsync"/> skips the test where none is installed.</summary>
public sealed class Browser : IAsyncLifetime
{
    private IBrowser? _browser;

    public async ValueTask InitializeAsync()
    {
        string? program = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
            .SelectMany(_ => (string[])["chromium", "chromium-browser", "google-chrome"], Path.Combine)
            .FirstOrDefault(File.Exists);
        if (program is not null)
        {
            _browser = await Puppeteer.LaunchAsync(new LaunchOptions
            {
                ExecutablePath = program,
                Headless = true,
                Timeout = 120_000,

                // Root has no sandbox to go into, and a container's shared memory is small. What is opened is our own page.
                Args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
            });
        }
    }

    /// <summary>A page with a color scheme and a width, at <paramref name="url"/>.</summary>
    internal async Task<IPage> OpenAsync(string url, bool dark = false, int width = 1280)
    {
        Assert.SkipWhen(_browser is null, "There is no Chromium: run eng/setup.");
        IPage page = await _browser!.NewPageAsync();
        page.DefaultTimeout = 120_000;
        await page.EmulateMediaFeaturesAsync([new MediaFeatureValue { MediaFeature = MediaFeature.PrefersColorScheme, Value = dark ? "dark" : "light" }]);
        await page.SetViewportAsync(new ViewPortOptions { Width = width, Height = width < 600 ? 780 : 800, IsMobile = width < 600, HasTouch = width < 600 });
        await page.GoToAsync(url);
        return page;
    }

    public async ValueTask DisposeAsync()
    {
        if (_browser is not null)
        {
            await _browser.DisposeAsync();
        }
    }
}
