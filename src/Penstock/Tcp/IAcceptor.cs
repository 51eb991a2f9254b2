namespace Penstock.Tcp;

/// <summary>Who a passive open belongs to until the application has it: a listener, or a request that the application has decided on.</summary>
internal interface IAcceptor
{
    /// <summary>The child has become established. Called while it is owned; may only queue and wake.</summary>
    void OnChildEstablished(TcpConnection child);

    /// <summary>The child died before the application had it.</summary>
    void OnChildGone(TcpConnection child);
}
