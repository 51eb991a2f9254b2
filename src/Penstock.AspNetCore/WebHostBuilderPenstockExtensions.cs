using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Penstock;
using Penstock.AspNetCore;

namespace Microsoft.AspNetCore.Hosting;

/// <summary>Puts Kestrel on a <see cref="NetworkStack"/>.</summary>
public static class WebHostBuilderPenstockExtensions
{
    /// <summary>
    /// Puts Kestrel on the container's <see cref="NetworkStack"/>. If none is registered a default one is, which has a loopback interface only and is disposed with the container.
    /// </summary>
    /// <param name="hostBuilder">The host builder.</param>
    /// <param name="configure">Changes the transport's options; null for the defaults.</param>
    /// <returns><paramref name="hostBuilder"/>.</returns>
    public static IWebHostBuilder UsePenstock(this IWebHostBuilder hostBuilder, Action<PenstockTransportOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(hostBuilder);
        hostBuilder.ConfigureServices(static services => services.AddPenstock());
        return UsePenstock(hostBuilder, static provider => provider.GetRequiredService<NetworkStack>(), configure);
    }

    /// <summary>Puts Kestrel on <paramref name="stack"/>.</summary>
    /// <param name="hostBuilder">The host builder.</param>
    /// <param name="stack">The stack. The caller goes on owning it, and disposes it after the host.</param>
    /// <param name="configure">Changes the transport's options; null for the defaults.</param>
    /// <returns><paramref name="hostBuilder"/>.</returns>
    public static IWebHostBuilder UsePenstock(this IWebHostBuilder hostBuilder, NetworkStack stack, Action<PenstockTransportOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(stack);
        return UsePenstock(hostBuilder, _ => stack, configure);
    }

    /// <summary>Puts Kestrel on a stack that is chosen when the first end point is bound, for example a keyed one of the container.</summary>
    /// <param name="hostBuilder">The host builder.</param>
    /// <param name="stack">Gives the stack. Its owner stays its owner: what the container made, the container disposes.</param>
    /// <param name="configure">Changes the transport's options; null for the defaults.</param>
    /// <returns><paramref name="hostBuilder"/>.</returns>
    public static IWebHostBuilder UsePenstock(
        this IWebHostBuilder hostBuilder, Func<IServiceProvider, NetworkStack> stack, Action<PenstockTransportOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(hostBuilder);
        ArgumentNullException.ThrowIfNull(stack);
        return hostBuilder.ConfigureServices(services =>
        {
            // Kestrel adds its sockets only if there is no transport yet; end points that are not ours need them whatever the order of the calls was.
            services.TryAddSingleton<IConnectionListenerFactory, SocketTransportFactory>();
            services.AddSingleton<IConnectionListenerFactory>(provider => new PenstockTransportFactory(
                () => stack(provider),
                provider.GetRequiredService<IOptions<PenstockTransportOptions>>(),
                provider.GetRequiredService<ILoggerFactory>(),
                provider.GetService<IMemoryPoolFactory<byte>>()));
            if (configure is not null)
            {
                services.Configure(configure);
            }
        });
    }
}
