using System.Globalization;

namespace Penstock.Tests.Seeds;

/// <summary>
/// The audit of zero-copy accounting (E10). A new seed each run, printed; PENSTOCK_AUDIT_SEED repeats one, PENSTOCK_AUDIT_STEPS asks for more steps.
/// </summary>
public class ZeroCopyAuditTests
{
    private const int StepsOfALife = 400;

    [Fact]
    [Trait("Requirement", "R2.11")]
    [Trait("Requirement", "R2.14")]
    [Trait("Requirement", "R2.16")]
    [Trait("Requirement", "R2.18")]
    [Trait("Requirement", "R2.19")]
    [Trait("Requirement", "R2.21")]
    [Trait("Requirement", "R2.25")]
    [Trait("Requirement", "R2.26")]
    public async Task The_ledgers_balance_and_every_id_is_notified_once_in_random_lives_with_zero_copy_sends()
    {
        int seed = (int)(Number("PENSTOCK_AUDIT_SEED") ?? Random.Shared.Next(1 << 30));
        long wanted = Number("PENSTOCK_AUDIT_STEPS") ?? 60_000;
        TestContext.Current.TestOutputHelper!.WriteLine($"PENSTOCK_AUDIT_SEED={seed}");
        long steps = 0, sends = 0, refusals = 0, downgrades = 0, copied = 0;
        for (int life = 0; steps < wanted; life++)
        {
            var audit = new ZeroCopyLives(seed + life);
            try
            {
                await audit.RunAsync(StepsOfALife);
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException(
                    $"PENSTOCK_AUDIT_SEED={seed + life}, step {audit.Step} of the first life then: {audit.Last}. {failure.Message}", failure);
            }

            steps += audit.Step;
            sends += audit.Sends;
            refusals += audit.Refusals;
            downgrades += audit.Downgrades;
            copied += audit.Copied;
        }

        TestContext.Current.TestOutputHelper.WriteLine($"{steps} steps, {sends} sends, {refusals} refused, {downgrades} downgrades, {copied} copied");
        Assert.True(sends > wanted / 10, "too little was sent: the audit tests too little");
        Assert.True(refusals > wanted / 1000, "nothing was ever short: the audit tests too little");
        Assert.True(downgrades > wanted / 1000, "buffers were never mixed: the audit tests too little");
        Assert.True(copied > 0, "nothing was ever copied: the audit tests too little");
    }

    private static long? Number(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { } text ? long.Parse(text, CultureInfo.InvariantCulture) : null;
}
