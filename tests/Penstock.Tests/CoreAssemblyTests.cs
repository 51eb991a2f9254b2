using System.Reflection;

namespace Penstock.Tests;

/// <summary>What the core's assembly is made of.</summary>
public class CoreAssemblyTests
{
    [Fact]
    public void The_core_calls_no_native_code_and_refers_to_the_base_class_library_alone()
    {
        Assembly core = typeof(NetworkStack).Assembly;
        const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

        Assert.DoesNotContain(core.GetTypes().SelectMany(type => type.GetMethods(All)), method => method.Attributes.HasFlag(MethodAttributes.PinvokeImpl));
        Assert.All(core.GetReferencedAssemblies(), reference => Assert.StartsWith("System.", reference.Name, StringComparison.Ordinal));
    }
}
