namespace Penstock;

/// <summary>
/// The memory of the zero-copy sends from <see cref="First"/> to <see cref="Last"/> is free again (Linux: a <c>sock_extended_err</c> of origin SO_EE_ORIGIN_ZEROCOPY, <c>ee_info</c> to
/// <c>ee_data</c>).
/// </summary>
/// <param name="First">The first id.</param>
/// <param name="Last">The last id, inclusive; below <paramref name="First"/> where the numbers wrap around.</param>
/// <param name="Copied">Some of the data was copied after all (SO_EE_CODE_ZEROCOPY_COPIED): the next sends on this path are better copied from the start.</param>
public readonly record struct ZeroCopyNotification(uint First, uint Last, bool Copied);
