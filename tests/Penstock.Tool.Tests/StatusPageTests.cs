using System.Text.Json;
using PuppeteerSharp;

namespace Penstock.Tool.Tests;

/// <summary>
/// The live page in a real browser. With PENSTOCK_SCREENSHOTS naming a folder, pictures of it are left there, the one in docs among them.
/// </summary>
public sealed class StatusPageTests(Browser browser) : IClassFixture<Browser>
{
    private const string Rows = "document.querySelectorAll('#connections tbody tr.row')";

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Connections_appear_and_their_figures_move()
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync("--delay", "20ms", "--rate", "10mbit");
        await using IPage page = await browser.OpenAsync($"{serve.Http.BaseAddress}penstock");
        List<string> complaints = Listen(page);
        await page.WaitForFunctionAsync($"() => [...{Rows}].some(row => row.textContent.includes('this page'))");
        int before = await page.EvaluateExpressionAsync<int>($"{Rows}.length");

        using CancellationTokenSource done = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        Task download = await DownloadAsync(serve, done.Token);
        await page.WaitForFunctionAsync($"count => {Rows}.length > count", args: before);

        // A rate that is not zero, a line with two points or more, and bytes that go on growing.
        await page.WaitForFunctionAsync($$"""
            () => {
                const row = [...{{Rows}}].find(row => /↑ [\d.]+\u202f[kM]bit/.test(row.textContent) && (row.querySelector('.spark .o').getAttribute('d') || '').split('L').length > 2);
                if (!row) return false;
                const bytes = row.querySelector('td[data-label^=Acked]').textContent;
                window.first ??= bytes;
                return window.first !== bytes;
            }
            """);
        Assert.NotEqual("0", await page.EvaluateExpressionAsync<string>("document.querySelector('#tiles .tile b').textContent"));

        await done.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => download);
        await page.WaitForFunctionAsync($"count => {Rows}.length <= count || [...{Rows}].some(row => !row.textContent.includes('ESTABLISHED') && !row.textContent.includes('LISTEN'))", args: before);
        Assert.Empty(complaints);
    }

    [Fact]
    public async Task The_filter_hides_what_does_not_match()
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync();
        await using IPage page = await browser.OpenAsync($"{serve.Http.BaseAddress}penstock");
        List<string> complaints = Listen(page);
        await page.WaitForFunctionAsync($"() => {Rows}.length > 1");

        await page.TypeAsync("#filter", "listen");
        await page.WaitForFunctionAsync($"() => {Rows}.length === 1 && {Rows}[0].textContent.includes('LISTEN')");

        await page.TypeAsync("#filter", " nobody");
        await page.WaitForFunctionAsync($"() => {Rows}.length === 0 && !document.getElementById('empty').hidden");
        Assert.Equal("No connection matches the filter.", await page.EvaluateExpressionAsync<string>("document.getElementById('empty').textContent"));

        await page.ClickAsync("#filter", new PuppeteerSharp.Input.ClickOptions { Count = 3 });
        await page.Keyboard.PressAsync("Backspace");
        await page.WaitForFunctionAsync($"() => {Rows}.length > 1");
        Assert.Empty(complaints);
    }

    [Fact]
    public async Task A_row_opens_the_other_stack_is_shown_and_a_pause_holds_the_figures()
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync();
        await using IPage page = await browser.OpenAsync($"{serve.Http.BaseAddress}penstock");
        List<string> complaints = Listen(page);
        await page.WaitForFunctionAsync($"() => [...{Rows}].some(row => row.textContent.includes('ESTABLISHED'))");

        await page.EvaluateExpressionAsync($"[...{Rows}].find(row => row.textContent.includes('ESTABLISHED')).click()");
        await page.WaitForFunctionAsync("() => [...document.querySelectorAll('tr.more')].some(more => !more.hidden && /skmem:\\(r\\d+.*cubic|cubic.*skmem/.test(more.textContent))");

        await page.EvaluateExpressionAsync("document.querySelector('#tabs button:nth-child(2)').click()");
        await page.WaitForFunctionAsync($"() => document.querySelector('#tabs button:nth-child(2)').getAttribute('aria-selected') === 'true' && [...{Rows}].every(row => row.textContent.includes('10.77.0.1:'))");

        await page.ClickAsync("#pause");
        string held = await page.EvaluateExpressionAsync<string>("document.querySelector('main').innerText");
        long asked = await page.EvaluateExpressionAsync<long>("performance.getEntriesByType('resource').length");
        await page.EvaluateExpressionAsync("new Promise(done => setTimeout(done, 2500))");
        Assert.Equal(held, await page.EvaluateExpressionAsync<string>("document.querySelector('main').innerText"));
        Assert.InRange(await page.EvaluateExpressionAsync<long>("performance.getEntriesByType('resource').length"), asked, asked + 1);
        Assert.Empty(complaints);
    }

    [Theory]
    [InlineData(false, 1440)]
    [InlineData(true, 1440)]
    [InlineData(false, 360)]
    [InlineData(true, 360)]
    public async Task It_fits_and_can_be_read_in_both_color_schemes_on_a_desk_and_on_a_phone(bool dark, int width)
    {
        await using ServeInProcess serve = await ServeInProcess.StartAsync("--delay", "20ms", "--loss", "1%", "--rate", "10mbit");
        await using IPage page = await browser.OpenAsync($"{serve.Http.BaseAddress}penstock", dark, width);
        using CancellationTokenSource done = CancellationTokenSource.CreateLinkedTokenSource(Cancel);
        Task download = await DownloadAsync(serve, done.Token);
        await page.WaitForFunctionAsync($"() => {Rows}.length > 2 && [...{Rows}].some(row => (row.querySelector('.spark .o')?.getAttribute('d') || '').split('L').length > 4)");
        await page.EvaluateExpressionAsync($"[...{Rows}].find(row => row.textContent.includes('ESTABLISHED')).click()");

        JsonElement findings = await page.EvaluateFunctionAsync<JsonElement>(Look);

        if (Environment.GetEnvironmentVariable("PENSTOCK_SCREENSHOTS") is { Length: > 0 } folder)
        {
            await page.ScreenshotAsync(Path.Combine(folder, $"status-{(dark ? "dark" : "light")}-{width}.png"), new ScreenshotOptions { FullPage = true });
            if (!dark && width > 1000)
            {
                await page.ScreenshotAsync(Path.Combine(folder, "penstock.png"), new ScreenshotOptions { Clip = new PuppeteerSharp.Media.Clip { Width = width, Height = 540 } });
            }
        }

        Assert.Equal("[]", findings.ToString());
        bool isDark = await page.EvaluateExpressionAsync<bool>("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((sum, part) => sum + +part, 0) < 380");
        Assert.Equal(dark, isDark);
        await done.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => download);
    }

    /// <summary>
    /// What is wrong with the page as it is drawn: wider than the window, text that is too small, too pale against what is behind it (WCAG 2 AA: 4.5 to 1), or cut off.
    /// </summary>
    private const string Look = """
        () => {
            const found = [];
            const wide = document.documentElement.scrollWidth - window.innerWidth;
            if (wide > 0) found.push(`the page is ${wide} px wider than the window`);
            if (window.innerWidth > 760) for (const box of document.querySelectorAll('.scroll')) {
                const over = box.scrollWidth - box.clientWidth;
                if (over > 0) found.push(`the table ${box.firstElementChild.id} is ${over} px wider than its place`);
            }
            const numbers = color => color.match(/[\d.]+/g).map(Number);
            const light = color => numbers(color).slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
            const behind = element => {
                for (; element; element = element.parentElement) {
                    const color = getComputedStyle(element).backgroundColor, alpha = numbers(color)[3] ?? 1;
                    if (alpha === 1) return color;
                }
                return 'rgb(255, 255, 255)';
            };
            const walker = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
            const complained = new Set();
            while (walker.nextNode()) {
                const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
                if (!text || !element.checkVisibility() || ['SCRIPT', 'STYLE', 'OPTION'].includes(element.tagName)) continue;
                const style = getComputedStyle(element), size = parseFloat(style.fontSize);
                const a = light(style.color), b = light(behind(element)), contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
                const say = what => { const key = element.tagName + element.className + what; if (!complained.has(key)) { complained.add(key); found.push(`"${text.slice(0, 40)}": ${what}`); } };
                if (size < 10.5) say(`${size} px is too small`);
                if (contrast < 4.5) say(`a contrast of ${contrast.toFixed(2)} is too little`);
                const box = element.getBoundingClientRect();
                if (!element.closest('.scroll:not(.cards)') && box.right > window.innerWidth + 1) say('it is cut off');
            }
            return found;
        }
        """;

    /// <summary>A download that is under way, slowly, until it is canceled.</summary>
    private static async Task<Task> DownloadAsync(ServeInProcess serve, CancellationToken cancel)
    {
        await File.WriteAllBytesAsync(Path.Combine(serve.Root!, "large.bin"), new byte[64 << 20], cancel);
        HttpResponseMessage answer = await serve.Http.GetAsync("/large.bin", HttpCompletionOption.ResponseHeadersRead, cancel);
        return Task.Run(
            async () =>
            {
                using (answer)
                {
                    await using Stream body = await answer.Content.ReadAsStreamAsync(cancel);
                    await body.CopyToAsync(Stream.Null, cancel);
                }
            },
            CancellationToken.None);
    }

    private static List<string> Listen(IPage page)
    {
        List<string> complaints = [];
        page.PageError += (_, error) => complaints.Add(error.Message);
        page.Console += (_, line) =>
        {
            if (line.Message.Type == ConsoleType.Error)
            {
                complaints.Add(line.Message.Text);
            }
        };
        return complaints;
    }
}
