namespace Penstock.Tcp;

/// <summary>
/// Where a copy inside a send may take time: under a virtual clock the seam lets the modelled time of the copy pass and what falls due happen, which then finds the socket owned, as it would on real hardware.
/// </summary>
internal interface ICopySeam
{
    void OnCopied(int bytes);
}
