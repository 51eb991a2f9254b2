using System.Runtime.InteropServices;
using Penstock.SystemCalls;

namespace Penstock;

/// <summary>Turns the error numbers of opening a device into exceptions that name the next step. docs/tun.md lists them.</summary>
internal static class TunErrors
{
    public const string DevicePath = "/dev/net/tun";

    public static Exception OpenFailed(int error) => error switch
    {
        ErrorNumber.NoEntry or ErrorNumber.NoDevice or ErrorNumber.NoSuchAddress => new FileNotFoundException(
            $"{DevicePath} is missing. Load the tun module (modprobe tun), or run the container with the device (--device {DevicePath}).",
            DevicePath),
        ErrorNumber.OperationNotPermitted or ErrorNumber.AccessDenied => new UnauthorizedAccessException(
            $"No permission to open {DevicePath}. A container needs the device in its cgroup (--device {DevicePath}); "
            + "elsewhere make it accessible to this user."),
        _ => new IOException($"Opening {DevicePath} failed: {Text(error)}.", error),
    };

    public static Exception CreateFailed(string name, bool multiQueue, int error) => error switch
    {
        ErrorNumber.OperationNotPermitted or ErrorNumber.AccessDenied => new UnauthorizedAccessException(
            $"No permission to create or attach the device '{name}': it needs root or CAP_NET_ADMIN, "
            + $"or a persistent device made for this user (ip tuntap add dev {name} mode tun user $USER)."),
        ErrorNumber.Busy => new IOException(
            $"The device '{name}' is in use by another process or link. "
            + $"Choose another name, or '{Prefix(name)}%d' for the next free one.",
            error),
        ErrorNumber.InvalidArgument => new IOException(
            $"The name '{name}' is not a valid device name, or belongs to a device of another kind "
            + $"({(multiQueue ? "not a multi-queue TUN device" : "not a single-queue TUN device")}). Choose another name.", error),
        _ => new IOException($"Creating the device '{name}' failed: {Text(error)}.", error),
    };

    public static Exception ConfigureFailed(string name, string what, int error) => error switch
    {
        ErrorNumber.OperationNotPermitted or ErrorNumber.AccessDenied => new UnauthorizedAccessException(
            $"No permission to set the {what} of the device '{name}': it needs root or CAP_NET_ADMIN. "
            + "A setting that the device has already is left alone, so whoever made the device can make it in advance."),
        _ => new IOException($"Setting the {what} of the device '{name}' failed: {Text(error)}.", error),
    };

    public static Exception DeviceGone(string name, int error) =>
        new IOException($"The device '{name}' was removed or failed: {(error == 0 ? "end of stream" : Text(error))}.", error);

    public static string Text(int error) => $"{Marshal.GetPInvokeErrorMessage(error)} (errno {error})";

    private static string Prefix(string name) => name.TrimEnd('0', '1', '2', '3', '4', '5', '6', '7', '8', '9');
}
