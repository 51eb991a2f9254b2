using Penstock.Tests.Seeds;

namespace Penstock.Tests.Links;

/// <summary>What becomes of a connection whose link was full: it goes on as soon as there is room, whenever that is said.</summary>
public class LinkSpaceTests
{
    [Fact]
    public async Task Room_that_a_link_has_again_before_anybody_could_wait_for_it_is_used_at_once()
    {
        await using HandPeer peer = new HandPeer().Open();
        peer.Link.Refuses = () =>
        {
            // Full when it was asked, and drained before the answer was known.
            peer.Link.Refuses = null;
            peer.Link.Client!.OnSpace();
            return true;
        };
        long began = peer.Time.NowNanos;
        peer.Send(1000);
        peer.Time.RunReady();
        Assert.Equal((1000, began), (peer.Link.Sent[^1].Length, peer.Link.Sent[^1].AtNanos));
    }

    [Fact]
    public async Task Who_waits_for_a_link_that_is_removed_goes_another_way_at_once()
    {
        await using HandPeer peer = new HandPeer().Open();
        var second = new WireLink(1500, () => peer.Time.NowNanos);
        peer.Stack.AddInterface(second, InterfaceAddress.Parse("10.9.0.1/24"));
        peer.Stack.AddRoute(System.Net.IPNetwork.Parse("0.0.0.0/0"), second);
        peer.Link.Refuses = () => true;
        peer.Send(1000);
        peer.Time.RunReady();
        Assert.Empty(second.Sent);
        Assert.True(peer.Stack.RemoveInterface(peer.Link));
        peer.Time.RunReady();
        Assert.Equal(1000, Assert.Single(second.Sent).Length);
    }
}
