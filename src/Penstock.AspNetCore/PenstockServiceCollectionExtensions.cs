using System.Diagnostics.Metrics;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Penstock;
using Penstock.AspNetCore;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers network stacks. The container makes them when they are first asked for, and disposes them.</summary>
public static class PenstockServiceCollectionExtensions
{
    /// <summary>
    /// Registers a <see cref="NetworkStack"/> as a singleton, unless there is one, and an <see cref="IConnectionFactory"/> over it. The container's <see cref="IMeterFactory"/> makes the stack's meter.
    /// </summary>
    /// <param name="services">The services.</param>
    /// <param name="configure">Changes the stack's options; null for the defaults.</param>
    /// <param name="attach">Called with the new stack, to add interfaces, routes and hosts; null for a loopback only.</param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddPenstock(
        this IServiceCollection services, Action<NetworkStackOptions>? configure = null, Action<IServiceProvider, NetworkStack>? attach = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        services.AddOptions().AddLogging();
        services.TryAddSingleton(provider => Create(provider, new NetworkStackOptions(), configure, attach));
        services.TryAddSingleton<IConnectionFactory>(static provider => new PenstockConnectionFactory(
            provider.GetRequiredService<NetworkStack>(),
            provider.GetRequiredService<IOptions<PenstockTransportOptions>>(),
            provider.GetRequiredService<ILoggerFactory>(),
            provider.GetService<IMemoryPoolFactory<byte>>()));
        return services;
    }

    /// <summary>Registers a <see cref="NetworkStack"/> as a keyed singleton, one of several in the process. A key that is a string is also the stack's default name.</summary>
    /// <param name="services">The services.</param>
    /// <param name="serviceKey">The key, for <c>GetRequiredKeyedService</c> and <c>[FromKeyedServices]</c>.</param>
    /// <param name="configure">Changes the stack's options; null for the defaults.</param>
    /// <param name="attach">Called with the new stack, to add interfaces, routes and hosts; null for a loopback only.</param>
    /// <returns><paramref name="services"/>.</returns>
    public static IServiceCollection AddKeyedPenstock(
        this IServiceCollection services,
        object serviceKey,
        Action<NetworkStackOptions>? configure = null,
        Action<IServiceProvider, NetworkStack>? attach = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(serviceKey);
        services.TryAddKeyedSingleton(serviceKey, (provider, key) =>
        {
            var options = new NetworkStackOptions();
            if (key is string { Length: > 0 } name)
            {
                options.Name = name;
            }

            return Create(provider, options, configure, attach);
        });
        return services;
    }

    private static NetworkStack Create(
        IServiceProvider provider, NetworkStackOptions options, Action<NetworkStackOptions>? configure, Action<IServiceProvider, NetworkStack>? attach)
    {
        options.MeterFactory = provider.GetService<IMeterFactory>();
        configure?.Invoke(options);
        var stack = new NetworkStack(options);
        attach?.Invoke(provider, stack);
        return stack;
    }
}
