using Shop;

WebApplicationBuilder builder = WebApplication.CreateBuilder(args);
builder.Services.AddGrpc();

WebApplication app = builder.Build();
app.MapGet("/items/{name}", (string name) => new { name, price = name.Length * 10 });
app.MapPost("/orders", async (HttpRequest request) =>
{
    var order = new MemoryStream();
    await request.Body.CopyToAsync(order);
    return Results.Text($"ordered {order.Length} bytes");
});
app.MapGrpcService<StockService>();
app.Run();
